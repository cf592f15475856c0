package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/plan"
)

func TestLayersPlan(t *testing.T) {
	root := smallPlatform(t, map[string]string{
		"IT/layers.yaml":            "- name: base\n  namespace: base\n- name: top\n  namespace: base\n  needs: [base]\n  timeout: 2m\n",
		"IT/top/Chart.yaml":         "apiVersion: v2\nname: top\nversion: 0.1.0\n",
		"IT/top/templates/cm.yaml":  "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: top\n",
		"K8s/apps/web/templates/cm": "",
	})
	dir := filepath.Join(t.TempDir(), "plan")
	code, _, stderr := runIn(t, root, "layers", "plan", dir)
	require.Equal(t, exitDone, code, stderr)
	index, err := plan.ReadIndex(dir)
	require.NoError(t, err)
	require.Len(t, index.Layers, 2)
	require.Equal(t, []string{"base"}, index.Layers[1].Needs)
	require.NotEmpty(t, index.Nodes)
	top, err := plan.ReadLayer(filepath.Join(dir, index.Layers[1].File))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"base": index.Layers[0].Key}, top.Needed)
	require.FileExists(t, filepath.Join(dir, plan.StagedFolder, "platform.yaml"))

	code, _, stderr = runIn(t, root, "layers", "plan", dir)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "is not empty")
}

func TestLayersBadInput(t *testing.T) {
	root := smallPlatform(t, nil)
	empty := filepath.Join(root, "empty.json")
	require.NoError(t, os.WriteFile(empty, []byte("{}"), 0o600))
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no argument":         {[]string{"layers", "plan"}, "usage: idp layers plan DIR"},
		"no plan there":       {[]string{"layers", "state", root}, "idp layers plan DIR"},
		"nothing to finish":   {[]string{"layers", "finish", root}, "idp layers plan DIR"},
		"no layer's file":     {[]string{"layers", "apply", empty}, "it names no layer"},
		"no cluster's file":   {[]string{"serve", "cluster", empty}, "it names no nodes"},
		"the wrong cluster":   {[]string{"serve", "cluster", empty, "--cluster", "existing", "--context", "x"}, "runs already"},
		"nothing to serve":    {[]string{"serve", "git", filepath.Join(root, "none")}, "no such folder"},
		"a bad address":       {[]string{"serve", "git", root, "--listen", "8080"}, `address "8080": use host:port`},
		"a bad way":           {[]string{"serve", "forward", "443"}, "LISTEN=HOST:PORT"},
		"an unknown one":      {[]string{"images", "apps-wev"}, `did you mean "apps-web"`},
		"a source without it": {[]string{"layers", "plan", filepath.Join(root, "p"), "--source", filepath.Join(root, "IT")}, "there is no platform.yaml in it"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := runIn(t, root, c.args...)
			require.Equal(t, exitUsage, code, stderr)
			require.Contains(t, stderr, c.says)
		})
	}
}

func TestImagesComeFromTheInventories(t *testing.T) {
	inventory := "schema: 1\nkubernetes: v1.37.2\ncharts:\n- name: up\n  version: 1.0.0\n  repository: https://charts.invalid\n  files: h1:" + strings.Repeat("0", 64) + "\n  images: [b/b:1, a/a:2]\n"
	root := smallPlatform(t, map[string]string{
		"K8s/apps/web/Chart.yaml":     "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n- name: up\n  version: 1.0.0\n  repository: https://charts.invalid\n",
		"K8s/apps/web/inventory.yaml": inventory,
	})
	code, stdout, stderr := runIn(t, root, "images")
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, "a/a:2\nb/b:1\n", stdout)
	code, stdout, _ = runIn(t, root, "images", "base", "-o", "json")
	require.Equal(t, exitDone, code)
	var none []string
	require.NoError(t, json.Unmarshal([]byte(stdout), &none))
	require.Empty(t, none)
	require.NotNil(t, none)
}

func TestRenderPerComponent(t *testing.T) {
	root := smallPlatform(t, nil)
	dir := filepath.Join(t.TempDir(), "out")
	code, stdout, stderr := runIn(t, root, "render", "--per-component", dir)
	require.Equal(t, exitDone, code, stderr)
	require.Empty(t, stdout)
	content, err := os.ReadFile(filepath.Join(dir, "base.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(content), "kind: Namespace")
	require.FileExists(t, filepath.Join(dir, "apps-web.yaml"))
}
