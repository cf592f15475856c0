package repoclient

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResponses(t *testing.T) {
	root := t.TempDir()
	put(t, filepath.Join(root, "platform.yaml"), "global: {who: file}\n")
	put(t, filepath.Join(root, "IT/a/Chart.yaml"), "apiVersion: v2\nname: a\nversion: 0.1.0\n")
	put(t, filepath.Join(root, "IT/a/templates/a.yaml"), `apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {who: {{ .Values.global.who }}, version: {{ .Capabilities.KubeVersion }}, number: {{ .Values.number | quote }}}
`)
	put(t, filepath.Join(root, "IT/b/Chart.yaml"), "apiVersion: v2\nname: b\nversion: 0.1.0\n")
	put(t, filepath.Join(root, "IT/b/templates/b.yaml"), `{{ fail "no" }}`)
	t.Setenv("PATH", helm(t)+string(os.PathListSeparator)+os.Getenv("PATH"))

	var in, out bytes.Buffer
	for _, path := range []string{"IT/b", "IT/a"} {
		require.NoError(t, json.NewEncoder(&in).Encode(Request{
			Root: root, Path: path, App: "app", Release: "rel", Namespace: "ns", ValueFiles: []string{"/platform.yaml"},
			StringParameters: map[string]string{"number": "1"}, KubeVersion: "v1.37.2",
		}))
	}
	require.NoError(t, Main(t.Context(), &in, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2)
	var refused Response
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &refused))
	require.Contains(t, refused.Error, "execution error at (b/templates/b.yaml:1:3): no")
	require.JSONEq(t, `{"manifests": [{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": {"name": "rel", "annotations": {"argocd.argoproj.io/tracking-id": "app:/ConfigMap:ns/rel"}},
		"data": {"who": "file", "version": "v1.37.2", "number": "1"}}]}`, lines[1])
}

func TestRefusesWhatIsNoRequest(t *testing.T) {
	require.ErrorContains(t, Main(t.Context(), strings.NewReader("{"), &bytes.Buffer{}), "read a request")
}

// helm builds the helm that this module pins and gives its folder.
func helm(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "helm"), "helm.sh/helm/v3/cmd/helm").CombinedOutput()
	require.NoError(t, err, string(out))
	return dir
}

func put(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}
