package apply

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/idp-blueprint/idp/internal/platform"
)

// Every object of the kind is waited for, in whatever version it is written and in whatever namespace it is; others aren't.
func TestEveryGateWaitsForEachObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		applied(t, api, everything)
		objs := []*unstructured.Unstructured{
			{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "workload"}}},
			{Object: map[string]any{"apiVersion": "apps/v1beta9", "kind": "Deployment", "metadata": map[string]any{"name": "second", "namespace": "other"}}},
			{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "no-conditions", "namespace": "demo"}}},
		}
		reads := 0
		api.onGet = func(path string, obj map[string]any) {
			if path == deploymentPath {
				if reads++; reads > 3 {
					obj["status"] = report("True")
					api.store("/apis/apps/v1/namespaces/other/deployments/second", map[string]any{
						"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "second", "namespace": "other"}, "status": report("True"),
					})
				}
			}
		}
		gate := platform.Gate{Every: &platform.Condition{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "demo", Type: "Available"}}
		heard := map[string]bool{}
		err := api.applier().Ready(t.Context(), []platform.Gate{gate}, objs, func(text string) {
			name, _, _ := strings.Cut(text, ":")
			heard[name] = true
		})
		require.NoError(t, err)
		require.Greater(t, reads, 3)
		require.Equal(t, map[string]bool{
			"condition Available=True of Deployment demo/workload": true,
			"condition Available=True of Deployment other/second":  true,
		}, heard)
	})
}
