package apply

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func annotated(pairs ...string) *unstructured.Unstructured {
	annotations := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		annotations[pairs[i]] = pairs[i+1]
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x", "annotations": annotations},
	}}
}

func TestHookPhases(t *testing.T) {
	tests := map[string]struct {
		obj    *unstructured.Unstructured
		hook   bool
		phases []phase
	}{
		"plain":               {annotated(), false, nil},
		"helm, both":          {annotated("helm.sh/hook", "pre-install, pre-upgrade"), true, []phase{phasePreSync}},
		"helm, every":         {annotated("helm.sh/hook", "post-upgrade,pre-install,post-install"), true, []phase{phasePreSync, phasePostSync}},
		"helm, test":          {annotated("helm.sh/hook", "test"), true, nil},
		"helm, crd-install":   {annotated("helm.sh/hook", "crd-install"), false, nil},
		"argo":                {annotated("argocd.argoproj.io/hook", "Sync"), true, []phase{phaseSync}},
		"argo wins over helm": {annotated("argocd.argoproj.io/hook", "PostSync", "helm.sh/hook", "pre-install"), true, []phase{phasePostSync}},
		"argo, on failure":    {annotated("argocd.argoproj.io/hook", "SyncFail"), true, nil},
		"skipped":             {annotated("argocd.argoproj.io/hook", "Skip"), false, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.hook, isHook(tt.obj))
			if tt.hook {
				require.Equal(t, tt.phases, hookPhases(tt.obj))
			}
		})
	}
}

func TestWaveOf(t *testing.T) {
	require.Equal(t, 0, waveOf(annotated()))
	require.Equal(t, -5, waveOf(annotated("argocd.argoproj.io/sync-wave", "-5", "helm.sh/hook-weight", "3")))
	require.Equal(t, 3, waveOf(annotated("helm.sh/hook-weight", "3")))
	require.Equal(t, 3, waveOf(annotated("argocd.argoproj.io/sync-wave", "soon", "helm.sh/hook-weight", "3")))
}

func TestDeletePolicies(t *testing.T) {
	require.Equal(t, []string{"before-hook-creation"}, deletePolicies(annotated()))
	require.Equal(t, []string{"hook-succeeded", "hook-failed"}, deletePolicies(annotated(annotationHelmHookDelete, "hook-succeeded, hook-failed")))
	require.Equal(t, []string{"hook-succeeded", "before-hook-creation"}, deletePolicies(annotated(annotationHookDelete, "HookSucceeded,BeforeHookCreation")))
}

func TestObjectRefString(t *testing.T) {
	require.Equal(t, "Deployment a/b", ObjectRef{Group: "apps", Kind: "Deployment", Namespace: "a", Name: "b"}.String())
	require.Equal(t, "Gateway.gateway.networking.k8s.io a/b", ObjectRef{Group: "gateway.networking.k8s.io", Kind: "Gateway", Namespace: "a", Name: "b"}.String())
	require.Equal(t, "Namespace a", ObjectRef{Kind: "Namespace", Name: "a"}.String())
}

func TestTrackedBy(t *testing.T) {
	require.Equal(t, "app", trackedBy(map[string]string{annotationTracking: "app:apps/Deployment:ns/name"}))
	require.Empty(t, trackedBy(map[string]string{annotationTracking: "app"}))
	require.Empty(t, trackedBy(nil))
}

func TestLastOfEach(t *testing.T) {
	first, second := annotated("v", "1"), annotated("v", "2")
	require.Equal(t, []*unstructured.Unstructured{second}, lastOfEach([]*unstructured.Unstructured{first, second}))
}
