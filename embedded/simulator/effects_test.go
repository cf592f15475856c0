package simulator

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/health"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

// stage is an env over a fixed set of objects.
type stage struct {
	objects []map[string]any
	again   bool
}

func (s *stage) Lookup(apiVersion, kind, namespace, name string) (map[string]any, error) {
	for _, o := range s.objects {
		u := unstructured.Unstructured{Object: o}
		if u.GetAPIVersion() == apiVersion && u.GetKind() == kind && u.GetNamespace() == namespace && u.GetName() == name {
			return o, nil
		}
	}
	return nil, nil
}

func (s *stage) Namespaces(wanted map[string]any) (names []string, err error) {
	for _, o := range s.objects {
		u := unstructured.Unstructured{Object: o}
		fits := u.GetKind() == "Namespace"
		for key, value := range wanted {
			fits = fits && u.GetLabels()[key] == value
		}
		if fits {
			names = append(names, u.GetName())
		}
	}
	return names, nil
}

func (s *stage) Certificate(map[string]any, map[string]any) (map[string]any, error) {
	return map[string]any{"data": map[string]any{"tls.crt": "Yw=="}, "notBefore": "2026-01-01T00:00:00Z", "notAfter": "2026-04-01T00:00:00Z", "renewalTime": "2026-03-01T00:00:00Z"}, nil
}

func (s *stage) Sign(map[string]any, map[string]any) (map[string]any, error) {
	return map[string]any{"certificate": "Yw==", "ca": "Y2E="}, nil
}

func (s *stage) SecretData(map[string]any) (map[string]any, error) {
	return map[string]any{"password": "cA=="}, nil
}

func (s *stage) Again() { s.again = true }

func (s *stage) Now() string { return "2026-01-02T03:04:05Z" }

// readObjects reads a multi-document YAML file with integers as the API server's clients decode them.
func readObjects(t *testing.T, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var out []map[string]any
	for _, doc := range strings.Split(string(data), "\n---\n") {
		raw, err := yaml.ToJSON([]byte(doc))
		require.NoError(t, err)
		var u unstructured.Unstructured
		require.NoError(t, u.UnmarshalJSON(raw))
		out = append(out, u.Object)
	}
	return out
}

// TestEffects plays every effect on testdata/effects/<name>.yaml, whose first document is the object and whose others are what
// it may look up, and compares with <name>.golden. Argo CD's own health check of the kind must agree with the name of the file:
// it is Healthy, unless the name says "waiting".
func TestEffects(t *testing.T) {
	effects, err := loadEffects(effectsFS, "effects")
	require.NoError(t, err)
	files, err := filepath.Glob("testdata/effects/*.yaml")
	require.NoError(t, err)
	played := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			objects := readObjects(t, file)
			object := &unstructured.Unstructured{Object: objects[0]}
			e := effectFor(t, effects, object)
			played[e.Resource] = true
			env := &stage{objects: objects[1:]}
			before := object.DeepCopy()
			out, err := e.Render(object.Object, env)
			require.NoError(t, err)
			require.Equal(t, before, object, "rendering changes nothing")
			got, err := sigsyaml.Marshal(out)
			require.NoError(t, err)
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", got)

			waiting := strings.Contains(name, "waiting")
			require.Equal(t, waiting, env.again)
			if len(out.Status) == 0 {
				return
			}
			object.Object["status"] = out.Status
			got2, err := health.GetResourceHealth(object, lua.ResourceHealthOverrides{})
			require.NoError(t, err)
			if got2 != nil { // Argo CD has no opinion on some kinds
				require.Equal(t, waiting, got2.Status != health.HealthStatusHealthy, "%s: %s", got2.Status, got2.Message)
			}
			// What was written once isn't written again.
			second, err := e.Render(object.Object, &stage{objects: objects[1:]})
			require.NoError(t, err)
			require.Empty(t, statusPatch(second.Status, out.Status, nil))
		})
	}
	for _, e := range effects {
		require.True(t, played[e.Resource], "no example of %s in testdata/effects", e.Resource)
	}
}

func effectFor(t *testing.T, effects []*effect, object *unstructured.Unstructured) *effect {
	t.Helper()
	gvk := object.GroupVersionKind()
	for _, e := range effects {
		if e.group() == gvk.Group && singular(e.plural()) == strings.ToLower(gvk.Kind) {
			return e
		}
	}
	require.Failf(t, "no effect", "on %s", gvk)
	return nil
}

// singular undoes the plurals that occur among the effects.
func singular(plural string) string {
	switch {
	case strings.HasSuffix(plural, "ies"):
		return strings.TrimSuffix(plural, "ies") + "y"
	case strings.HasSuffix(plural, "sses"), strings.HasSuffix(plural, "heuses"):
		return strings.TrimSuffix(plural, "es")
	default:
		return strings.TrimSuffix(plural, "s")
	}
}

// golden compares with a file; UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestLoadEffects(t *testing.T) {
	tests := map[string]struct{ text, err string }{
		"unknown key":          {"- {resource: a.b, part: p, templat: x}", `effects/x.yaml: error unmarshaling JSON: while decoding JSON: json: unknown field "templat"`},
		"no part":              {"- {resource: a.b}", "effects/x.yaml: effect 0 (a.b) needs resource, part"},
		"built-in, no version": {"- {resource: a.b, part: p, builtIn: true}", "for a built-in kind, version"},
		"template":             {"- {resource: a.b, part: p, template: '{{ nope }}'}", `effects/x.yaml: effect on a.b: template: a.b:1: function "nope" not defined`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := loadEffects(fstest.MapFS{"effects/x.yaml": {Data: []byte(tt.text), Mode: fs.ModePerm}}, "effects")
			require.ErrorContains(t, err, tt.err)
		})
	}
}

func TestRenderErrors(t *testing.T) {
	tests := map[string]struct{ template, err string }{
		"unknown part": {"conditions: []", `effect on a.b: rendered YAML: unknown field "conditions"`},
		"no YAML":      {"status: {", "effect on a.b: rendered YAML"},
		"key twice":    {"status: {a: 1, a: 2}", "effect on a.b: rendered YAML"},
		"execution":    {"status: {a: {{ .spec.a.b.c }}}", "effect on a.b: template"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text, err := sigsyaml.Marshal([]map[string]any{{"resource": "a.b", "part": "p", "template": tt.template}})
			require.NoError(t, err)
			effects, err := loadEffects(fstest.MapFS{"effects/x.yaml": {Data: text}}, "effects")
			require.NoError(t, err)
			_, err = effects[0].Render(map[string]any{"spec": map[string]any{"a": "text"}}, &stage{})
			require.ErrorContains(t, err, tt.err)
		})
	}
}

func TestFinishConditions(t *testing.T) {
	status := map[string]any{
		"conditions": []any{
			map[string]any{"type": "Ready", "status": "True", "message": "fine"},
			map[string]any{"type": "Synced", "status": "True", "message": "simulated by hand"},
			map[string]any{"type": "New", "status": "False"},
		},
		"listeners": []any{map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": "True"}}}},
	}
	live := map[string]any{
		"conditions": []any{
			map[string]any{"type": "Ready", "status": "True", "lastTransitionTime": "then"},
			map[string]any{"type": "Synced", "status": "False", "lastTransitionTime": "then"},
		},
		"listeners": []any{map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": "True", "lastTransitionTime": "then"}}}},
	}
	finishConditions(status, live, "now")
	require.Equal(t, map[string]any{
		"conditions": []any{
			map[string]any{"type": "Ready", "status": "True", "message": "simulated: fine", "lastTransitionTime": "then"},
			map[string]any{"type": "Synced", "status": "True", "message": "simulated by hand", "lastTransitionTime": "now"},
			map[string]any{"type": "New", "status": "False", "message": "simulated", "lastTransitionTime": "now"},
		},
		"listeners": []any{map[string]any{"conditions": []any{map[string]any{"type": "Accepted", "status": "True", "message": "simulated", "lastTransitionTime": "then"}}}},
	}, status)
}

func TestStatusPatch(t *testing.T) {
	when := func(s string) any { return []any{map[string]any{"type": "Ready", "lastTransitionTime": s}} }
	wanted := map[string]any{"same": int64(1), "differs": "new", "pruned": when("now"), "lost": "x"}
	live := map[string]any{"same": int64(1), "differs": "old", "pruned": nil, "lost": "y", "others": true}
	fates := map[string]fate{
		"pruned": {timeless(when("then")), nil}, // the API server keeps nothing of it: not tried again
		"lost":   {timeless("x"), "z"},          // it kept z, and someone wrote y since: tried again
	}
	require.Equal(t, map[string]any{"differs": "new", "lost": "x"}, statusPatch(wanted, live, fates))
}

func TestDigestIsOrderless(t *testing.T) {
	a, err := digestOf(map[string]any{"a": int64(1), "b": map[string]any{"c": "d", "e": nil}})
	require.NoError(t, err)
	b, err := digestOf(map[string]any{"b": map[string]any{"e": nil, "c": "d"}, "a": int64(1)})
	require.NoError(t, err)
	require.Equal(t, a, b)
}
