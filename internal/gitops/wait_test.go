package gitops

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
)

func done(name string) Application {
	return Application{Name: name, Repo: "r", Sync: "Synced", Health: "Healthy", Revision: "abc"}
}

func TestUnmet(t *testing.T) {
	want := Want{Applications: []string{"root", "web"}, Root: "root", Revision: "abc"}
	with := func(change func(*Application)) []Application {
		web := done("web")
		change(&web)
		return []Application{done("root"), web}
	}
	for name, c := range map[string]struct {
		apps []Application
		met  bool
		says string
	}{
		"all done":               {apps: with(func(*Application) {}), met: true},
		"one missing":            {apps: []Application{done("root")}, says: "web: its ApplicationSet has not created it"},
		"another revision":       {apps: with(func(a *Application) { a.Revision = "old" }), says: "web: Synced, Healthy at old"},
		"out of sync":            {apps: with(func(a *Application) { a.Sync = "OutOfSync"; a.Message = "ConfigMap x is OutOfSync" }), says: "ConfigMap x is OutOfSync"},
		"degraded":               {apps: with(func(a *Application) { a.Health = "Degraded" }), says: "web: Synced, Degraded"},
		"operation asked for":    {apps: with(func(a *Application) { a.Operation = true })},
		"operation under way":    {apps: with(func(a *Application) { a.Phase = "Running" })},
		"refresh not yet served": {apps: with(func(a *Application) { a.Refresh = true })},
		"being deleted":          {apps: with(func(a *Application) { a.Deleting = true })},
		"a folder that is gone":  {apps: append(with(func(*Application) {}), done("gone")), says: "gone: its folder is gone"},
		"somebody else's":        {apps: append(with(func(*Application) {}), Application{Name: "theirs", Repo: "other"}), met: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := want.unmet(c.apps)
			require.Equal(t, c.met, e == nil)
			require.Equal(t, c.met, want.Met(c.apps))
			if !c.met {
				require.ErrorContains(t, e, c.says)
			}
		})
	}
}

func fakeArgo(objects ...runtime.Object) *ArgoCD {
	kinds := map[schema.GroupVersionResource]string{
		{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}:    "ApplicationList",
		{Group: "argoproj.io", Version: "v1alpha1", Resource: "applicationsets"}: "ApplicationSetList",
	}
	return NewArgoCD(fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...), "argocd")
}

func object(kind, name string, status map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": "argocd"},
		"spec":     map[string]any{"source": map[string]any{"path": "IT/" + name, "repoURL": "r"}},
		"status":   status,
	}}
}

func TestWaitEndsWithWhatIsMissing(t *testing.T) {
	argo := fakeArgo(object("Application", "web", map[string]any{
		"sync":       map[string]any{"status": "Unknown"},
		"conditions": []any{map[string]any{"type": "ComparisonError", "message": "no such path"}},
	}))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	_, err := argo.Wait(ctx, Want{Applications: []string{"web"}, Root: "web"}, func([]Application) {})
	require.ErrorIs(t, err, context.DeadlineExceeded, "so that the program exits with 124")
	require.ErrorContains(t, err, "ComparisonError: no such path")
	var notReady *NotReadyError
	require.True(t, errors.As(err, &notReady))
}

func TestWaitSeesTheApplicationsCome(t *testing.T) {
	argo := fakeArgo(object("Application", "web", map[string]any{
		"sync":   map[string]any{"status": "Synced", "revision": "abc"},
		"health": map[string]any{"status": "Healthy"},
	}))
	looks := 0
	apps, err := argo.Wait(t.Context(), Want{Applications: []string{"web"}, Root: "web", Revision: "abc"}, func([]Application) { looks++ })
	require.NoError(t, err)
	require.Equal(t, 1, looks)
	require.Equal(t, []Application{{Name: "web", Path: "IT/web", Repo: "r", Sync: "Synced", Health: "Healthy", Revision: "abc"}}, apps)
}

func TestRefreshAsksSetsAndApplications(t *testing.T) {
	argo := fakeArgo(object("Application", "web", nil), object("ApplicationSet", "it", nil))
	require.NoError(t, argo.Refresh(t.Context()))
	apps, err := argo.Applications(t.Context())
	require.NoError(t, err)
	require.True(t, apps[0].Refresh)
	set, err := argo.applicationSets().Get(t.Context(), "it", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "true", set.GetAnnotations()[refreshSetAnnotation])
}

func TestExplainPrefersTheMostTelling(t *testing.T) {
	for name, c := range map[string]struct {
		status map[string]any
		want   string
	}{
		"a failed operation": {map[string]any{"operationState": map[string]any{"phase": "Failed", "message": "one or more objects failed to apply"}}, "one or more objects failed to apply"},
		"a resource":         {map[string]any{"resources": []any{map[string]any{"kind": "Deployment", "namespace": "n", "name": "d", "status": "Synced", "health": map[string]any{"status": "Progressing", "message": "0 of 1"}}}}, "Deployment n/d is Progressing 0 of 1"},
		"drift":              {map[string]any{"resources": []any{map[string]any{"kind": "ConfigMap", "namespace": "n", "name": "c", "status": "OutOfSync"}}}, "ConfigMap n/c is OutOfSync"},
		"nothing":            {map[string]any{"operationState": map[string]any{"phase": "Succeeded", "message": "successfully synced"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, parse(*object("Application", "x", c.status)).Message)
		})
	}
}

func TestCatchUp(t *testing.T) {
	at := func(name, revision string) *unstructured.Unstructured {
		return object("Application", name, map[string]any{"sync": map[string]any{"revision": revision}})
	}
	t.Run("there already: nothing is written", func(t *testing.T) {
		a := fakeArgo(at("cilium", "new"), at("other", "old"))
		require.NoError(t, a.CatchUp(t.Context(), []string{"cilium", "not-there"}, "new"))
		list, err := a.applications().List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, item := range list.Items {
			require.Empty(t, item.GetAnnotations())
		}
	})
	t.Run("behind: asked, waited for, named", func(t *testing.T) {
		a := fakeArgo(at("cilium", "old"), at("vault", "new"))
		ctx, cancel := context.WithTimeout(t.Context(), 2*pollEvery)
		defer cancel()
		err := a.CatchUp(ctx, []string{"cilium", "vault"}, "new")
		require.ErrorContains(t, err, "for cilium:")
		app, err := a.applications().Get(t.Context(), "cilium", metav1.GetOptions{})
		require.NoError(t, err)
		require.NotEmpty(t, app.GetAnnotations()[refreshAnnotation])
	})
	t.Run("comes", func(t *testing.T) {
		a := fakeArgo(at("cilium", "old"))
		go func() {
			_, _ = a.applications().Update(context.Background(), at("cilium", "new"), metav1.UpdateOptions{})
		}()
		require.NoError(t, a.CatchUp(t.Context(), []string{"cilium"}, "new"))
	})
}
