package render

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/idp-blueprint/idp/internal/render"
)

// What the library chart makes of each of its values. UPDATE_GOLDEN=1 writes the golden file anew.
func TestCommon(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/common")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "charts", "common"), os.DirFS("../../IT/common")))
	objects, err := render.Render(t.Context(), render.Request{Dir: dir, App: "stack-sample", Release: "sample", Namespace: "stack"})
	require.NoError(t, err)
	var text []byte
	for _, object := range objects {
		one, err := yaml.Marshal(object.Object)
		require.NoError(t, err)
		text = append(append(text, "---\n"...), one...)
	}
	const golden = "testdata/common.golden.yaml"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(golden, text, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(text))
}

func TestCommonRefuses(t *testing.T) {
	for name, test := range map[string]struct{ values, want string }{
		"unknown entity":         {"flows: {a: {pods: {}, to: [{entity: moon}]}}", `a flow's entity is one of api-server, gateway, internet, nodes, not "moon"`},
		"route without service":  {"routes: {a: {port: 1}}", "routes.a.service"},
		"secret without path":    {"secrets: {a: {keys: {b: c}}}", "secrets.a.path"},
		"database without size":  {"databases: {a: {database: a}}", "databases.a.size"},
		"memory in another unit": {"databases: {a: {database: a, size: 1Gi, memory: 1Gi}}", `databases.a.memory is a number of Mi, not "1Gi"`},
		"database for nobody":    {"databases: {a: {database: a, size: 1Gi, priorityClassName: p}}", "databases.a.clients"},
		"login before nothing":   {"logins: {a: {service: a, port: 1}}", "logins.a.pods"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/common")))
			require.NoError(t, os.CopyFS(filepath.Join(dir, "charts", "common"), os.DirFS("../../IT/common")))
			values := "global: {platform: {name: idp, domain: example.test}}\n" + test.values + "\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, "values.yaml"), []byte(values), 0o644))
			_, err := render.Render(t.Context(), render.Request{Dir: dir, App: "a", Release: "a", Namespace: "a"})
			require.ErrorContains(t, err, test.want)
		})
	}
}
