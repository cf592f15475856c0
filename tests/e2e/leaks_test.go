package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// secretValue is one that only its Secret may hold.
type secretValue struct{ from, value string }

// forms are the ways in which a value would be written down.
func (v secretValue) forms() []string {
	return []string{v.value, base64.StdEncoding.EncodeToString([]byte(v.value)), url.QueryEscape(v.value)}
}

// place is where a value might turn up.
type place struct {
	name string
	text []byte
}

// leaked says what was found where, never the value.
func leaked(values []secretValue, places []place) (found []string) {
	for _, p := range places {
		for _, v := range values {
			if slices.ContainsFunc(v.forms(), func(form string) bool { return bytes.Contains(p.text, []byte(form)) }) {
				found = append(found, v.from+" is in "+p.name)
			}
		}
	}
	return found
}

// nothingLeaked looks for the values of the platform's Secrets wherever they have no business: the processes' arguments and environment,
// every log with the audit log, what the command has printed, what Git holds, and all other objects, events among them.
func nothingLeaked(t *testing.T, tool *idp) {
	values := secretValues(t, tool)
	places := slices.Concat(processPlaces(t, filepath.Join(tool.state, "one")), filePlaces(t, filepath.Join(tool.state, "one", "logs")),
		gitPlaces(t, filepath.Join(tool.state, "one", "git", "platform.git")), objectPlaces(t, tool),
		[]place{{"what idp has printed", tool.said.Bytes()}})
	for _, kind := range []string{"arguments of", "environment of", "audit.log", "commit ", "blob ", "events", "pods", "configmaps", "what idp has printed"} {
		require.True(t, slices.ContainsFunc(places, func(p place) bool { return strings.Contains(p.name, kind) && len(p.text) > 0 }), "nothing to look at: %s", kind)
	}
	require.Empty(t, leaked(values, places))
}

// secretValues are what ExternalSecrets brought, and every private key.
func secretValues(t *testing.T, tool *idp) (values []secretValue) {
	typed, untyped := tool.client(t, "one")
	keys := map[string][]string{} // of Secrets, by namespace/name
	external := schema.GroupVersionResource{Group: "external-secrets.io", Version: "v1", Resource: "externalsecrets"}
	list, err := untyped.Resource(external).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, list.Items)
	for _, e := range list.Items {
		name, _, _ := unstructured.NestedString(e.Object, "spec", "target", "name")
		data, _, _ := unstructured.NestedSlice(e.Object, "spec", "data")
		for _, d := range data {
			key, _, _ := unstructured.NestedString(d.(map[string]any), "secretKey")
			keys[e.GetNamespace()+"/"+name] = append(keys[e.GetNamespace()+"/"+name], key)
		}
	}
	secrets, err := typed.CoreV1().Secrets(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, s := range secrets.Items {
		for _, key := range append(keys[s.Namespace+"/"+s.Name], "tls.key") {
			if value := strings.TrimSpace(string(s.Data[key])); value != "" {
				require.GreaterOrEqual(t, len(value), 12, "%s/%s %s: what is shorter is found anywhere", s.Namespace, s.Name, key)
				values = append(values, secretValue{fmt.Sprintf("%s of Secret %s/%s", key, s.Namespace, s.Name), value})
			}
		}
	}
	require.Greater(t, len(values), len(list.Items), "every ExternalSecret has brought something, and there are private keys")
	return values
}

// processPlaces are the arguments and the environment of the processes whose command line names a folder.
func processPlaces(t *testing.T, folder string) (places []place) {
	t.Helper()
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range commands {
		arguments, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(arguments, []byte(folder)) {
			continue
		}
		process := "process " + strconv.Quote(string(bytes.ReplaceAll(arguments[:min(len(arguments), 60)], []byte{0}, []byte{' '})))
		places = append(places, place{"the arguments of " + process, arguments})
		if environment, err := os.ReadFile(filepath.Join(filepath.Dir(file), "environ")); err == nil {
			places = append(places, place{"the environment of " + process, environment})
		}
	}
	return places
}

func filePlaces(t *testing.T, folder string) (places []place) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		places = append(places, place{filepath.Base(file), text})
	}
	return places
}

// gitPlaces are all objects of a repository, those of former commits too.
func gitPlaces(t *testing.T, repository string) (places []place) {
	t.Helper()
	cmd := exec.Command("git", "--git-dir="+repository, "cat-file", "--batch-all-objects", "--batch", "--unordered")
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	require.NoError(t, err, failed.String())
	for len(out) > 0 {
		head, rest, _ := bytes.Cut(out, []byte("\n"))
		fields := strings.Fields(string(head))
		require.Len(t, fields, 3, "%s", head)
		size, err := strconv.Atoi(fields[2])
		require.NoError(t, err)
		places = append(places, place{fields[1] + " " + fields[0] + " of " + filepath.Base(repository), rest[:size]})
		out = rest[size+1:]
	}
	return places
}

// objectPlaces are all objects of the cluster but Secrets.
func objectPlaces(t *testing.T, tool *idp) (places []place) {
	typed, untyped := tool.client(t, "one")
	kinds, err := discovery.ServerPreferredResources(typed.Discovery())
	require.NoError(t, err)
	for _, group := range kinds {
		gv, err := schema.ParseGroupVersion(group.GroupVersion)
		require.NoError(t, err)
		for _, kind := range group.APIResources {
			if !slices.Contains(kind.Verbs, "list") || gv.Group == "" && kind.Name == "secrets" {
				continue
			}
			list, err := untyped.Resource(gv.WithResource(kind.Name)).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err, kind.Name)
			text, err := json.Marshal(list)
			require.NoError(t, err)
			places = append(places, place{"the " + kind.Name, text})
		}
	}
	return places
}

// authorityKnown sees that one authority is trusted, in every namespace of the platform, and that it signed what Vault and the gateway serve with.
func authorityKnown(t *testing.T, tool *idp) {
	exported := tool.ok(t, "ca", "export", "--name", "one").stdout
	require.Equal(t, 1, strings.Count(exported, "BEGIN CERTIFICATE"))
	var authorities []struct {
		Name   string
		Signed []string
	}
	require.NoError(t, json.Unmarshal([]byte(tool.ok(t, "ca", "list", "--name", "one", "-o", "json").stdout), &authorities))
	require.Len(t, authorities, 1)
	require.Subset(t, authorities[0].Signed, []string{"vault/vault-tls", "gateway/platform-tls"})
	client, _ := tool.client(t, "one")
	for _, namespace := range []string{"vault", "argocd", "observability", "portal"} {
		trusted, err := client.CoreV1().ConfigMaps(namespace).Get(t.Context(), "platform-trust", metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, exported, trusted.Data["ca.crt"], namespace)
	}
}

// A search that finds nothing is worth something if it would have found it.
func TestLeaksAreFound(t *testing.T) {
	folder := t.TempDir()
	value := secretValue{"the password", "correct horse+battery/staple"}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "audit.log"), []byte(`{"body": "`+value.forms()[1]+`"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "server.log"), []byte("GET /?password="+value.forms()[2]), 0o600))

	repository := filepath.Join(folder, "platform.git")
	git := func(stdin string, args ...string) {
		cmd := exec.Command("git", append([]string{"--git-dir=" + repository}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	git("", "init", "--bare", "--quiet")
	git("password: "+value.value, "hash-object", "-w", "--stdin")

	process := exec.Command("/bin/sh", "-c", "read never", folder, value.value)
	process.Env = []string{"PASSWORD=" + value.value}
	held, err := process.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	t.Cleanup(func() { _ = held.Close(); _ = process.Wait() })

	var found []string
	eventually(t, "the process has its arguments", func() bool {
		found = leaked([]secretValue{value}, slices.Concat(processPlaces(t, folder), gitPlaces(t, repository),
			[]place{{"audit.log", read(t, folder, "audit.log")}, {"server.log", read(t, folder, "server.log")}, {"another log", []byte("correct horse")}}))
		return len(found) == 5
	})
	for i, where := range []string{"the arguments of", "the environment of", "blob ", "audit.log", "server.log"} {
		require.Contains(t, found[i], "the password is in "+where)
		require.NotContains(t, found[i], value.value[:13])
	}
}

func read(t *testing.T, folder, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	require.NoError(t, err)
	return text
}
