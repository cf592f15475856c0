package chart

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/platform"
)

func TestCheckValues(t *testing.T) {
	for _, test := range []struct {
		name   string
		values string
		line   int
		says   []string
	}{
		{name: "known keys", values: webValues},
		{name: "no values", values: ""},
		{name: "a free-form map", values: "web:\n  resources:\n    requests:\n      anything/at-all: 1\n"},
		{name: "a map that a template copies", values: "web:\n  service:\n    labels: {team: a}\n"},
		{name: "global", values: "global:\n  any: 1\nweb:\n  global: {x: 1}\n"},
		{name: "an alias", values: "anchor: &a {port: 1}\nweb:\n  service: *a\n", line: 1, says: []string{`"anchor"`}},
		{name: "misspelt", values: "web:\n  replica: 2\n", line: 2, says: []string{`no chart knows the key "web.replica"`, `did you mean "web.replicas"?`}},
		{name: "misspelt below", values: "web:\n  service:\n    prot: 2\n", line: 3, says: []string{`did you mean "web.service.port"?`}},
		{name: "at the wrong depth", values: "web:\n  port: 2\n", line: 2, says: []string{`did you mean "web.service.port"?`}},
		{name: "above its chart", values: "web: {}\nresources: {}\n", line: 2, says: []string{`did you mean "web.resources"?`}},
		{name: "merged", values: "web:\n  <<: {image: a, imagee: b}\n", line: 2, says: []string{`"web.imagee"`}},
		{name: "no YAML", values: "web:\n\t- x\n", line: 2, says: []string{"cannot start any token"}},
	} {
		for _, known := range []string{"chart", "inventory"} {
			t.Run(test.name+" by "+known, func(t *testing.T) {
				p, c := checkout(t, nowhere, webValues)
				archive := tiny(t, "web", "1.2.3", webFiles())
				r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
				if known == "inventory" {
					locked(t, p, c, archive)
				} else {
					_, err := r.Import(write(t, filepath.Join(t.TempDir(), "web.tgz"), string(archive)))
					require.NoError(t, err)
				}
				write(t, filepath.Join(p.Root, "K8s", "apps", "site", "values.yaml"), test.values)
				err := r.CheckValues(t.Context(), p.Root, c)
				if test.says == nil {
					require.NoError(t, err)
					return
				}
				for _, says := range test.says {
					require.ErrorContains(t, err, says)
				}
				var wrong *platform.InputError
				require.ErrorAs(t, err, &wrong)
				require.Equal(t, "K8s/apps/site/values.yaml", wrong.File)
				require.Equal(t, test.line, wrong.Line)
			})
		}
	}
}

func TestCheckValuesOfOwnTemplates(t *testing.T) {
	p, c := checkout(t, nowhere, "")
	c.Chart.Dependencies = nil
	dir := filepath.Join(p.Root, "K8s", "apps", "site")
	write(t, filepath.Join(dir, "templates", "a.yaml"), "a: {{ .Values.size.large }}\n")
	r := NewResolver(Options{CacheDir: t.TempDir()})
	write(t, filepath.Join(dir, "values.yaml"), "size: {large: 1}\n")
	require.NoError(t, r.CheckValues(t.Context(), p.Root, c))
	write(t, filepath.Join(dir, "values.yaml"), "siez: {large: 1}\n")
	require.ErrorContains(t, r.CheckValues(t.Context(), p.Root, c), `did you mean "size"?`)
}

func TestAPlaceTheInventoryLeavesOutIsAskedOfTheChart(t *testing.T) {
	files := map[string]string{"values.yaml": "a: {b: {c: {d: 1}}}\n"}
	p, c := checkout(t, nowhere, "web: {a: {b: {}}}\n")
	archive := tiny(t, "web", "1.2.3", files)
	locked(t, p, c, archive)
	write(t, filepath.Join(p.Root, "K8s", "apps", "site", "values.yaml"), "web:\n  a:\n    b:\n      c:\n        e: 1\n")
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	require.NoError(t, r.CheckValues(t.Context(), p.Root, c), "nothing is known of it")
	_, err := r.Import(write(t, filepath.Join(t.TempDir(), "web.tgz"), string(archive)))
	require.NoError(t, err)
	require.ErrorContains(t, r.CheckValues(t.Context(), p.Root, c), `"web.a.b.c.e"`)
}

func TestCopies(t *testing.T) {
	for _, test := range []struct {
		template string
		paths    [][]string
		names    []string
	}{
		{template: `{{ toYaml .Values.a.b }}`, paths: [][]string{{"a", "b"}}},
		{template: `{{- with .Values.a }}{{ if .x }}y{{ end }}{{ toYaml . | nindent 2 }}{{ end }}`, paths: [][]string{{"a"}}},
		{template: `{{ with .Values.a }}{{ .name }}{{ end }}{{ toYaml . }}`},
		{template: `{{ with $c.extra }}{{ . | toYaml }}{{ end }}`, names: []string{"extra"}},
		{template: `{{ range $k, $v := index .Values "grafana.ini" }}x{{ end }}`, names: []string{"grafana.ini"}},
		{template: `{{ .Values.a.b }}`},
		{template: `{{ if .Values.a }}{{ end }}`},
	} {
		t.Run(test.template, func(t *testing.T) {
			var c copies
			c.read(test.template)
			require.Equal(t, test.paths, c.paths)
			var names []string
			for name := range c.names {
				names = append(names, name)
			}
			slices.Sort(names)
			require.Equal(t, test.names, names)
		})
	}
}

func TestAKeyThatSwitchesADependency(t *testing.T) {
	p, c := checkout(t, nowhere, "web: {enabled: false}\nextras: {web: true}\n")
	c.Chart.Dependencies[0].Condition = "web.enabled, extras.web"
	locked(t, p, c, tiny(t, "web", "1.2.3", webFiles()))
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	require.NoError(t, r.CheckValues(t.Context(), p.Root, c))
	write(t, filepath.Join(p.Root, "K8s", "apps", "site", "values.yaml"), "web: {enable: false}\n")
	require.ErrorContains(t, r.CheckValues(t.Context(), p.Root, c), `did you mean "web.enabled"?`)
}

func TestAKeyTwice(t *testing.T) {
	p, c := checkout(t, nowhere, "web:\n  replicas: 2\n  config: {level: info, level: debug}\n  service: {port: 1}\n  replicas: 3\n")
	locked(t, p, c, tiny(t, "web", "1.2.3", webFiles()))
	err := NewResolver(Options{CacheDir: t.TempDir(), Offline: true}).CheckValues(t.Context(), p.Root, c)
	require.ErrorContains(t, err, `K8s/apps/site/values.yaml:3: the key "web.config.level" is already on line 3; keep one of them`)
	require.ErrorContains(t, err, `K8s/apps/site/values.yaml:5: the key "web.replicas" is already on line 2; keep one of them`)
}

func TestCheckValuesOfEveryProfile(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	c.Profiles = []string{"ha"}
	file := filepath.Join(p.Root, "K8s", "apps", "site", "values-ha.yaml")
	write(t, file, "web:\n  replicas: 3\n")
	locked(t, p, c, tiny(t, "web", "1.2.3", webFiles()))
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	require.NoError(t, r.CheckValues(t.Context(), p.Root, c))
	write(t, file, "web:\n  service:\n    prt: 3\n")
	err := r.CheckValues(t.Context(), p.Root, c)
	require.ErrorContains(t, err, `K8s/apps/site/values-ha.yaml:3: no chart knows the key "web.service.prt"; did you mean "web.service.port"?`, "though the profile is another")
}
