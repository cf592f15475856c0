package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runIn runs the command in a checkout with folders of its own; it can reach no network for charts.
func runIn(t *testing.T, checkout string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	base := t.TempDir()
	t.Setenv("XDG_STATE_HOME", filepath.Join(base, "state"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(base, "cache"))
	t.Chdir(checkout)
	var out, errs bytes.Buffer
	code = run(t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &errs})
	return code, out.String(), errs.String()
}

// smallPlatform writes a platform with one layer and one component, changed as a test wants.
func smallPlatform(t *testing.T, change map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"platform.yaml":             "global:\n  platform:\n    name: small\n    stacks:\n      apps: true\n",
		"IT/layers.yaml":            "- name: base\n  namespace: base\n",
		"IT/base/Chart.yaml":        "apiVersion: v2\nname: base\nversion: 0.1.0\n",
		"IT/base/templates/ns.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: base\n",
		"K8s/apps/web/Chart.yaml":   "apiVersion: v2\nname: web\nversion: 0.1.0\n",
	}
	for name, content := range change {
		files[name] = content
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return root
}

func TestBadInputIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]string
		args   []string
		says   []string
	}{
		"a misspelt key in platform.yaml": {
			change: map[string]string{"platform.yaml": "global:\n  platform:\n    nmae: small\n"},
			says:   []string{"platform.yaml:3", "nmae", "did you mean", "name"},
		},
		"a misspelt key in layers.yaml": {
			change: map[string]string{"IT/layers.yaml": "- name: base\n  namespace: base\n  ned: []\n"},
			says:   []string{"IT/layers.yaml:3", "ned", "needs"},
		},
		"a layer that needs a missing one": {
			change: map[string]string{"IT/layers.yaml": "- name: base\n  namespace: base\n  needs: [bass]\n"},
			says:   []string{"IT/layers.yaml:3", "bass"},
		},
		"a cycle": {
			change: map[string]string{
				"IT/layers.yaml":      "- name: base\n  namespace: base\n  needs: [more]\n- name: more\n  namespace: base\n  needs: [base]\n",
				"IT/more/Chart.yaml":  "apiVersion: v2\nname: more\nversion: 0.1.0\n",
				"IT/more/values.yaml": "",
			},
			says: []string{"IT/layers.yaml:", "base (line 1) → more (line 4) → base"},
		},
		"a layer without a folder": {
			change: map[string]string{"IT/layers.yaml": "- name: base\n  namespace: base\n- name: ghost\n  namespace: base\n"},
			says:   []string{"IT/layers.yaml:3", "ghost"},
		},
		"an unparsable chart": {
			change: map[string]string{"IT/base/Chart.yaml": "apiVersion: v2\nname: [base\n"},
			says:   []string{"IT/base/Chart.yaml:"},
		},
		"a template that doesn't parse": {
			change: map[string]string{"IT/base/templates/ns.yaml": "{{ if }}"},
			says:   []string{"IT/base/templates/ns.yaml:1"},
		},
		"a chart that can't be had": {
			change: map[string]string{"IT/base/Chart.yaml": "apiVersion: v2\nname: base\nversion: 0.1.0\ndependencies:\n- name: up\n  version: 1.0.0\n  repository: https://charts.invalid\n"},
			says:   []string{"IT/base/Chart.yaml:5", "idp charts import"},
		},
		"an unknown flag":                 {args: []string{"up", "--nmae", "x"}, says: []string{"--nmae"}},
		"an unknown command":              {args: []string{"upp"}, says: []string{"upp", "up"}},
		"a bad name":                      {args: []string{"up", "--name", "../x"}, says: []string{"--name", "lower-case"}},
		"a bad output":                    {args: []string{"up", "-o", "yaml"}, says: []string{"text or json"}},
		"a bad provider":                  {args: []string{"up", "--cluster", "cloud"}, says: []string{"embedded or existing"}},
		"no context for an existing one":  {args: []string{"up", "--cluster", "existing"}, says: []string{"--context"}},
		"a revision without a repository": {args: []string{"up", "--revision", "v1"}, says: []string{"--git-url"}},
		"an argument too many":            {args: []string{"up", "now"}, says: []string{"now"}},
		"a component that isn't there":    {args: []string{"render", "K8s/apps/wbe", "--offline"}, says: []string{"wbe", "K8s/apps/web"}},
		"a source that isn't one":         {args: []string{"up", "--source", "IT"}, says: []string{"platform.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := smallPlatform(t, c.change)
			args := c.args
			if args == nil {
				args = []string{"up", "--offline"}
			}
			code, stdout, stderr := runIn(t, root, args...)
			require.Equal(t, exitUsage, code, stderr)
			require.Empty(t, stdout)
			for _, text := range c.says {
				require.Contains(t, stderr, text)
			}
			require.NoDirExists(t, filepath.Join(os.Getenv("XDG_STATE_HOME"), "idp"), "no cluster was begun")
			left, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "idp", "staged-*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestRenderPrintsWhatIsApplied(t *testing.T) {
	code, stdout, stderr := runIn(t, smallPlatform(t, nil), "render", "base", "--offline")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "kind: Namespace")
	require.Contains(t, stdout, "argocd.argoproj.io/tracking-id: base:/Namespace:base/base")
}

func TestStatusAndKubeconfigOfAClusterThatDoesNotRun(t *testing.T) {
	for _, verb := range []string{"status", "kubeconfig"} {
		code, _, stderr := runIn(t, smallPlatform(t, nil), verb, "--name", "ghost")
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "idp up --name ghost")
	}
}

func TestDownOfNothingSucceeds(t *testing.T) {
	code, _, stderr := runIn(t, t.TempDir(), "down", "--name", "ghost")
	require.Zero(t, code, stderr)
}

func TestChartsCache(t *testing.T) {
	root := smallPlatform(t, nil)
	code, stdout, stderr := runIn(t, root, "charts", "list", "-o", "json")
	require.Zero(t, code, stderr)
	require.Equal(t, "[]\n", stdout)

	broken := filepath.Join(root, "broken.tgz")
	require.NoError(t, os.WriteFile(broken, []byte("no archive"), 0o644))
	code, _, stderr = runIn(t, root, "charts", "import", broken)
	require.NotZero(t, code)
	require.Contains(t, stderr, "broken.tgz")
}
