package render

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// request is for the chart of a case in testdata, with its platform.yaml if it has one. A chart's subcharts/ become charts/, which
// Git ignores here.
func request(t *testing.T, name string) Request {
	t.Helper()
	r := Request{
		Dir: filepath.Join(t.TempDir(), name), App: "app", Release: "rel", Namespace: "dest",
		KubeVersion: "v1.37.2", APIVersions: []string{"cert-manager.io/v1", "cert-manager.io/v1/Certificate"},
	}
	require.NoError(t, os.CopyFS(r.Dir, os.DirFS(filepath.Join("testdata", name, "chart"))))
	if subcharts := filepath.Join(r.Dir, "subcharts"); exists(subcharts) {
		require.NoError(t, os.Rename(subcharts, filepath.Join(r.Dir, "charts")))
	}
	if values := filepath.Join("testdata", name, "platform.yaml"); exists(values) {
		absolute, err := filepath.Abs(values)
		require.NoError(t, err)
		r.ValueFiles = []string{absolute}
	}
	return r
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// The golden files were compared with what Argo CD's own repo server gives for the same charts.
// UPDATE_GOLDEN=1 go test ./internal/render writes them anew.
func TestRender(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"hooks":        nil,
		"crds":         nil,
		"subcharts":    nil,
		"documents":    nil,
		"order":        nil,
		"capabilities": nil,
		"tracking":     nil,
		"parameters": func(r *Request) {
			r.Parameters = map[string]string{
				"a": "one,two", "n": "1", "list[0]": "y", "braces": "{a,b}", "nested.also": "null", "escaped": `a\,b`,
				"app": "$ARGOCD_APP_NAME.${ARGOCD_APP_NAMESPACE}", "dollar": "$$x",
			}
			r.StringParameters = map[string]string{"s": "1", "a": "string wins"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, name)
			if change != nil {
				change(&r)
			}
			objects, err := Render(t.Context(), r)
			require.NoError(t, err)
			golden(t, filepath.Join("testdata", name, "golden.yaml"), Bytes(objects))
			again, err := Render(t.Context(), r)
			require.NoError(t, err)
			require.Equal(t, objects, again)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(name, got, 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestRenderSkips(t *testing.T) {
	for name, test := range map[string]struct {
		chart  string
		change func(*Request)
		gone   string
	}{
		"tests": {"hooks", func(r *Request) { r.SkipTests = true }, "test"},
		"CRDs":  {"crds", func(r *Request) { r.SkipCRDs = true }, "bs.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, test.chart)
			all, err := Render(t.Context(), r)
			require.NoError(t, err)
			test.change(&r)
			fewer, err := Render(t.Context(), r)
			require.NoError(t, err)
			require.Contains(t, names(all), test.gone)
			require.NotContains(t, names(fewer), test.gone)
			require.NotEmpty(t, fewer)
		})
	}
	r := request(t, "schema")
	r.SkipSchema = true
	_, err := Render(t.Context(), r)
	require.NoError(t, err)
}

func names(objects []Object) []string {
	var list []string
	for _, o := range objects {
		list = append(list, o.GetName())
	}
	return list
}

const chartYAML = "apiVersion: v2\nname: c\nversion: 0.1.0\n"

// folder writes a chart, whose Chart.yaml is chartYAML unless files have another.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "c")
	put(t, filepath.Join(dir, "Chart.yaml"), chartYAML)
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	return dir
}

func put(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
}

func TestRenderErrors(t *testing.T) {
	for name, test := range map[string]struct {
		files  map[string]string
		change func(*Request)
		want   string
	}{
		"template that doesn't parse": {files: map[string]string{"templates/a.yaml": "a: b\n{{ if }}\n"},
			want: `app: templates/a.yaml:2: missing value for if`},
		"function that isn't there": {files: map[string]string{"templates/a.yaml": "a: b\n\n{{ nope }}\n"},
			want: `app: templates/a.yaml:3: function "nope" not defined`},
		"fail": {files: map[string]string{"templates/a.yaml": "a: b\n{{ fail \"set x: it is needed\" }}\n"},
			want: `app: templates/a.yaml:2: set x: it is needed`},
		"required": {files: map[string]string{"templates/a.yaml": "{{ required \"x is needed\" .Values.x }}\n"},
			want: `app: templates/a.yaml:1: x is needed`},
		"nil pointer": {files: map[string]string{"templates/a.yaml": "a: b\nb: {{ .Values.x.y }}\n"},
			want: `app: templates/a.yaml:2: <.Values.x.y>: nil pointer evaluating interface {}.y`},
		"in an included template": {files: map[string]string{
			"templates/_h.tpl":  "{{ define \"h\" }}\n{{ .Values.x.y }}{{ end }}",
			"templates/a.yaml":  "a: {{ include \"h\" . }}\n",
			"templates/zz.yaml": "",
		}, want: `app: templates/_h.tpl:2: <.Values.x.y>: nil pointer evaluating interface {}.y`},
		"in a subchart": {files: map[string]string{
			"charts/sub/Chart.yaml":       "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
			"charts/sub/templates/a.yaml": "{{ .Values.x.y }}",
		}, want: `app: charts/sub/templates/a.yaml:1: <.Values.x.y>: nil pointer evaluating interface {}.y`},
		"no YAML": {files: map[string]string{"templates/a.yaml": "a: b\n---\nb: c\n d: e\n"},
			want: `app: templates/a.yaml: gives no valid YAML: line 2: mapping values are not allowed in this context; the line counts in what the template gives, from the document's start`},
		"no kind": {files: map[string]string{"templates/a.yaml": "apiVersion: v1\nmetadata: {name: a}\n"},
			want: `app: rendered manifests: error unmarshaling JSON: while decoding JSON: Object 'Kind' is missing in '{"apiVersion":"v1","metadata":{"name":"a"}}' in {"apiVersion":"v1","metadata":{"name":"a"}}`},
		"annotation that is a number": {files: map[string]string{"templates/a.yaml": "apiVersion: v1\nkind: A\nmetadata: {name: a, annotations: {a: 1}}\n"},
			want: `app: annotations of A a: .metadata.annotations accessor error: contains non-string value in the map under key "a": 1 is of the type int64, expected string`},
		"missing dependency": {files: map[string]string{"Chart.yaml": chartYAML + "dependencies: [{name: loki, version: 1.0.0, repository: https://x}]\n"},
			want: `app: charts/ doesn't hold loki; run idp charts pull app`},
		"schema": {files: map[string]string{
			"values.yaml":        "replicas: many\n",
			"values.schema.json": `{"type": "object", "properties": {"replicas": {"type": "integer"}}}`,
		}, want: `app: its values don't meet the chart's schema: c: - at '/replicas': got string, want integer; change its values.yaml or platform.yaml`},
		"library": {files: map[string]string{"Chart.yaml": chartYAML + "type: library\n"},
			want: `app: library charts are not installable`},
		"Kubernetes too old": {files: map[string]string{"Chart.yaml": chartYAML + "kubeVersion: \">=1.99\"\n"},
			want: `app: chart requires kubeVersion: >=1.99 which is incompatible with Kubernetes v1.37.2`},
		"hidden source": {files: map[string]string{".argocd-source-app.yaml": "helm: {}"},
			want: `app: .argocd-source-app.yaml is not supported`},
		"Kubernetes version": {change: func(r *Request) { r.KubeVersion = "new" },
			want: `app: version of Kubernetes "new": could not parse "new" as version`},
		"release name": {change: func(r *Request) { r.Release = "Not_A_Name" },
			want: `app: release name "Not_A_Name": invalid release name, must match regex ^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than 53`},
		"parameter": {change: func(r *Request) { r.Parameters = map[string]string{"a": "$ARGOCD_APP_REVISION"} },
			want: `app: parameter a: $ARGOCD_APP_REVISION can't be used here; write $$ for a dollar sign`},
		"string parameter": {change: func(r *Request) { r.StringParameters = map[string]string{"a": "$x"} },
			want: `app: parameter a: $x can't be used here; write $$ for a dollar sign`},
	} {
		t.Run(name, func(t *testing.T) {
			r := Request{Dir: folder(t, test.files), App: "app", Release: "rel", Namespace: "dest", KubeVersion: "v1.37.2"}
			if test.change != nil {
				test.change(&r)
			}
			_, err := Render(t.Context(), r)
			require.EqualError(t, err, test.want)
			var typed *Error
			require.ErrorAs(t, err, &typed)
			require.Equal(t, "app", typed.App)
			require.Error(t, typed.Unwrap())
		})
	}
}

func TestRenderWithoutAFile(t *testing.T) {
	r := Request{Dir: filepath.Join(t.TempDir(), "none"), App: "app", Release: "rel"}
	_, err := Render(t.Context(), r)
	require.ErrorIs(t, err, os.ErrNotExist)
	r = Request{Dir: folder(t, nil), App: "app", Release: "rel", ValueFiles: []string{"/none/platform.yaml"}}
	_, err = Render(t.Context(), r)
	require.ErrorIs(t, err, os.ErrNotExist)
	put(t, filepath.Join(r.Dir, "bad.yaml"), "a: [")
	r.ValueFiles = []string{filepath.Join(r.Dir, "bad.yaml")}
	_, err = Render(t.Context(), r)
	require.ErrorContains(t, err, "bad.yaml")
}

func TestRenderIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Render(ctx, request(t, "hooks"))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "app")
}

func TestImpure(t *testing.T) {
	r := Request{App: "app", Release: "rel", Namespace: "dest", Dir: folder(t, map[string]string{
		"templates/a.yaml": `apiVersion: v1
kind: Secret
metadata: {name: random, namespace: there}
stringData: {password: {{ randAlphaNum 20 }}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: time}
data: {now: {{ now | unixEpoch | quote }}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: pure}
data: {hash: {{ "a" | sha256sum | quote }}}
---
{{- $ca := genCA "ca" 1 }}
apiVersion: v1
kind: ConfigMap
metadata: {name: ca}
data: {cert: {{ $ca.Cert | b64enc }}}
`})}
	impure, err := Impure(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, []string{"ConfigMap ca", "ConfigMap time", "Secret there/random"}, impure)

	impure, err = Impure(t.Context(), request(t, "documents"))
	require.NoError(t, err)
	require.Empty(t, impure)

	_, err = Impure(t.Context(), request(t, "schema"))
	require.Error(t, err)
}

func TestDiffering(t *testing.T) {
	one, two := object("a"), object("b")
	require.Empty(t, differing([]Object{one}, []Object{one}))
	require.Equal(t, []string{"K a"}, differing([]Object{one}, []Object{two}))
	require.Equal(t, []string{"K b"}, differing([]Object{one, two}, []Object{one}))
	require.Equal(t, []string{"K b"}, differing([]Object{one}, []Object{one, two}))
}

func object(name string) Object {
	o := Object(nil)
	if err := yaml.Unmarshal([]byte("kind: K\nmetadata: {name: "+name+"}"), &o); err != nil {
		panic(err)
	}
	return o
}

func TestBytesRoundTrip(t *testing.T) {
	for _, text := range []string{"", " ", "yes", "no", "on", "~", "null", "1", "1e3", "0x1f", "017", "1_000", ".inf", "2026-01-01", "<<", "=", "a: b", "- a", "# a",
		"a\nb", "a\nb\n", "\na", "a \nb", "\ta", "a\u2028b", "\u0000", "\ufeffa", "🚀", "a\r\nb", "---", "--- a", "%a", "!a", "&a", "*a", "'", `"`, `\`, "a #b", strings.Repeat("long ", 500)} {
		roundTrip(t, text)
	}
}

func FuzzBytes(f *testing.F) {
	f.Add("a: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ToValidUTF8(text, "") == text {
			roundTrip(t, text)
		}
	})
}

func roundTrip(t *testing.T, text string) {
	t.Helper()
	o := object("a")
	o.Object["data"] = map[string]any{"key": text, "number": int64(9007199254740993), "float": 1.5, "list": []any{text, nil, true, map[string]any{}, []any{}}}
	o.SetAnnotations(map[string]string{"text": text})
	if len(text) < 500 { // YAML has a limit for keys
		o.Object["more"] = map[string]any{text: "a key"}
	}
	back, err := split(string(Bytes([]Object{o})))
	require.NoError(t, err)
	require.Equal(t, []Object{o}, back)
}

// Whatever templates give, splitting and tracking end with objects or an error.
func FuzzObjects(f *testing.F) {
	for _, seed := range []string{"", "---\n", "null", "{}", "kind: List\nitems: [{kind: A}]", "kind: List\nitems: [1]", "kind: A\nmetadata: []", "kind: A\nmetadata: {annotations: 1}", "- a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		documents, err := split(text)
		if err != nil {
			return
		}
		objects, err := flatten(documents)
		if err != nil {
			return
		}
		for _, o := range objects {
			if track(o, "app", "dest") == nil {
				require.NotNil(t, o.Object)
			}
		}
	})
}
