package render

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"Chart.yaml":                   "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n- {name: up, version: 1.0.0, repository: https://charts.invalid}\n",
		"templates/two.yaml":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: other}\n",
		"templates/hook.yaml":          "apiVersion: v1\nkind: Pod\nmetadata: {name: h, annotations: {helm.sh/hook: pre-install}}\n",
		"charts/up/Chart.yaml":         "apiVersion: v2\nname: up\nversion: 1.0.0\n",
		"charts/up/templates/map.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: up}\n",
	} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o644))
	}
	places, err := Locate(t.Context(), Request{Dir: dir, App: "web", Release: "web", Namespace: "apps"})
	require.NoError(t, err)
	require.Equal(t, map[Place]string{
		{"ConfigMap", "", "a"}:      "templates/two.yaml",
		{"ConfigMap", "other", "b"}: "templates/two.yaml",
		{"Pod", "", "h"}:            "templates/hook.yaml",
		{"ConfigMap", "", "up"}:     "charts/up/templates/map.yaml",
	}, places)
}
