package apply

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const everything = `
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---` + widgets + `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: support}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: workload}
---
apiVersion: example.dev/v1
kind: Widget
metadata: {name: custom}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: webhook}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: role}`

// applied are the objects in the fake cluster, and their references.
func applied(t *testing.T, api *fakeAPI, manifest string) []ObjectRef {
	objs := objects(t, manifest)
	a := api.applier()
	_, err := a.Apply(t.Context(), objs, demo)
	require.NoError(t, err)
	refs, err := a.Refs(t.Context(), objs, "demo")
	require.NoError(t, err)
	require.Len(t, refs, len(objs))
	return refs
}

func TestPruneGoesBackwards(t *testing.T) {
	api := newFakeAPI(t)
	refs := applied(t, api, everything)
	before := len(api.writes())
	pruned, err := api.applier().Prune(t.Context(), refs, nil)
	require.NoError(t, err)
	require.Equal(t, refs, pruned)
	writes := api.writes()[before:]
	require.Equal(t, []string{
		"DELETE /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/webhook",
		"DELETE /apis/example.dev/v1/namespaces/demo/widgets/custom",
		"DELETE /apis/apps/v1/namespaces/demo/deployments/workload",
	}, writes[:3])
	require.ElementsMatch(t, []string{
		"DELETE /api/v1/namespaces/demo/configmaps/support",
		"DELETE /apis/rbac.authorization.k8s.io/v1/clusterroles/role",
	}, writes[3:5])
	require.Equal(t, []string{
		"DELETE /apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.dev",
		"DELETE /api/v1/namespaces/demo",
	}, writes[5:])

	again, err := api.applier().Prune(t.Context(), refs, nil)
	require.NoError(t, err, "what is gone already is nobody's fault")
	require.Empty(t, again)
}

func TestPruneLeavesAlone(t *testing.T) {
	const path = "/api/v1/namespaces/demo/configmaps/support"
	tests := map[string]struct {
		change  func(live *unstructured.Unstructured, ref *ObjectRef)
		current bool
	}{
		"what is still wanted":      {func(*unstructured.Unstructured, *ObjectRef) {}, true},
		"somebody else's":           {func(o *unstructured.Unstructured, _ *ObjectRef) { annotate(o, annotationTracking, "other:x:y") }, false},
		"what lost its tracking id": {func(o *unstructured.Unstructured, _ *ObjectRef) { o.SetAnnotations(nil) }, false},
		"Prune=false": {func(o *unstructured.Unstructured, _ *ObjectRef) {
			annotate(o, annotationOptions, "Validate=false,Prune=false")
		}, false},
		"helm keep":                    {func(o *unstructured.Unstructured, _ *ObjectRef) { annotate(o, annotationHelmResourceKeep, "keep") }, false},
		"recorded without Application": {func(_ *unstructured.Unstructured, r *ObjectRef) { r.App = "" }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			refs := applied(t, api, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: support}")
			tt.change(&unstructured.Unstructured{Object: api.objects[path]}, &refs[0])
			var current []ObjectRef
			if tt.current {
				current = []ObjectRef{{Kind: "ConfigMap", Namespace: "demo", Name: "support", App: "moved"}}
			}
			pruned, err := api.applier().Prune(t.Context(), refs[:1], current)
			require.NoError(t, err)
			require.Empty(t, pruned)
			require.Contains(t, api.objects, path)
		})
	}
}

func annotate(obj *unstructured.Unstructured, key, value string) {
	annotations := obj.GetAnnotations()
	annotations[key] = value
	obj.SetAnnotations(annotations)
}

// A reference that was recorded before its kind was known carries a namespace that the kind hasn't got.
func TestPruneComparesWhatObjectsAre(t *testing.T) {
	api := newFakeAPI(t)
	applied(t, api, everything)
	old := ObjectRef{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Namespace: "demo", Name: "role", App: "demo"}
	now := ObjectRef{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "role", App: "demo"}
	pruned, err := api.applier().Prune(t.Context(), []ObjectRef{old}, []ObjectRef{now})
	require.NoError(t, err)
	require.Empty(t, pruned)
	pruned, err = api.applier().Prune(t.Context(), []ObjectRef{now}, []ObjectRef{old})
	require.NoError(t, err)
	require.Empty(t, pruned)
	pruned, err = api.applier().Prune(t.Context(), []ObjectRef{old}, nil)
	require.NoError(t, err)
	require.Equal(t, []ObjectRef{now}, pruned)
}

func TestPruneStopsAtWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		refs := applied(t, api, everything)
		api.fault = func(r *http.Request) (*http.Response, error, bool) {
			stuck := r.Method == http.MethodDelete && r.URL.Path == "/apis/example.dev/v1/namespaces/demo/widgets/custom"
			return refuse(200, "", ""), nil, stuck
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		pruned, err := api.applier().Prune(ctx, refs, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "timed out waiting for the deletion of Widget.example.dev demo/custom")
		require.ErrorContains(t, err, "take the finalizer off")
		require.Equal(t, []ObjectRef{{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration", Name: "webhook", App: "demo"}}, without(pruned, "Widget"))
		require.Contains(t, api.objects, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.dev", "its CRD waits for it")
	})
}

func without(refs []ObjectRef, kind string) []ObjectRef {
	var rest []ObjectRef
	for _, ref := range refs {
		if ref.Kind != kind {
			rest = append(rest, ref)
		}
	}
	return rest
}

func TestMissing(t *testing.T) {
	api := newFakeAPI(t)
	applied(t, api, everything)
	delete(api.objects, "/apis/apps/v1/namespaces/demo/deployments/workload")
	wanted := everything + "\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install}}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: job}"
	missing, err := api.applier().Missing(t.Context(), objects(t, wanted), "demo")
	require.NoError(t, err)
	require.Equal(t, []ObjectRef{{Group: "apps", Kind: "Deployment", Namespace: "demo", Name: "workload", App: "demo"}}, missing)
	require.NotContains(t, api.requests[len(api.requests)-1], "PATCH")
}
