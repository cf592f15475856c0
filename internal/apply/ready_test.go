package apply

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/idp-blueprint/idp/internal/platform"
)

const deploymentPath = "/apis/apps/v1/namespaces/demo/deployments/workload"

var available = platform.Gate{Condition: &platform.Condition{
	APIVersion: "apps/v1", Kind: "Deployment", Namespace: "demo", Name: "workload", Type: "Available",
}}

func report(status string) map[string]any {
	return map[string]any{"conditions": []any{map[string]any{"type": "Available", "status": status, "reason": "MinimumReplicas", "message": "1 of 2"}}}
}

func TestConditionGateWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		applied(t, api, everything)
		reads := 0
		api.onGet = func(path string, obj map[string]any) {
			if path != deploymentPath {
				return
			}
			if reads++; reads > 2 {
				obj["status"] = report("False")
			}
			if reads > 4 {
				obj["status"] = report("True")
			}
		}
		var said []string
		err := api.applier().Ready(t.Context(), []platform.Gate{available}, nil, func(text string) { said = append(said, text) })
		require.NoError(t, err)
		require.Equal(t, []string{
			"condition Available=True of Deployment demo/workload: not reported yet",
			"condition Available=True of Deployment demo/workload: it is False MinimumReplicas 1 of 2",
		}, said)
	})
}

func TestConditionGateTimesOutWithADiagnosis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		applied(t, api, everything)
		deployment := api.objects[deploymentPath]
		deployment["status"] = report("False")
		deployment["spec"] = map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "x"}}}
		api.store("/api/v1/namespaces/demo/events/e", map[string]any{
			"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "FailedCreate", "message": "quota exceeded",
			"lastTimestamp": "2026-01-01T00:00:00Z", "metadata": map[string]any{"name": "e"},
		})
		api.store("/api/v1/namespaces/demo/pods/p", map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p"},
			"status": map[string]any{"phase": "Pending", "conditions": []any{map[string]any{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}}},
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := api.applier().Ready(ctx, []platform.Gate{available}, nil, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, strings.TrimSpace(`
timed out waiting for condition Available=True of Deployment demo/workload
  conditions:
    Available=False (MinimumReplicas): 1 of 2
  events:
    2026-01-01T00:00:00Z Warning FailedCreate: quota exceeded
  pods:
    p: Pending; 0/3 nodes are available
  to do: look at it: kubectl -n demo describe deployment workload`))
	})
}

func TestGatesTimeOutTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		gates := []platform.Gate{available, {Established: []string{"widgets.example.dev"}}}
		err := api.applier().Ready(ctx, gates, nil, nil)
		require.ErrorContains(t, err, "condition Available=True of Deployment demo/workload")
		require.ErrorContains(t, err, "condition Established of CustomResourceDefinition widgets.example.dev")
		require.ErrorContains(t, err, "add it to the layer or to its needs")
	})
}

func TestEstablishedGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		api.onGet = func(path string, obj map[string]any) {
			obj["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}
		}
		a := api.applier()
		time.AfterFunc(5*time.Second, func() { applied(t, api, widgets) })
		require.NoError(t, a.Ready(t.Context(), []platform.Gate{{Established: []string{"widgets.example.dev"}}}, nil, nil))
	})
}

func TestOwnCRDsAreAGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		applied(t, api, widgets)
		api.probes = 1000
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorContains(t, api.applier().Ready(ctx, nil, objects(t, widgets), nil), "CustomResourceDefinition widgets.example.dev to be served")
	})
}

func dryRun(name string) platform.Gate {
	return platform.Gate{Line: 7, DryRun: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "demo"},
	}}
}

func TestDryRunGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		applied(t, api, everything)
		before := len(api.writes())
		left := 5
		api.fault = func(r *http.Request) (*http.Response, error, bool) {
			if r.Method == http.MethodGet || left == 0 {
				return nil, nil, false
			}
			left--
			return refuse(500, "InternalError", "failed calling webhook"), nil, true
		}
		require.NoError(t, api.applier().Ready(t.Context(), []platform.Gate{dryRun("gate")}, nil, nil))
		require.Zero(t, left)
		require.Len(t, api.writes(), before, "nothing is stored")
	})
}

func TestDryRunGateThatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		applied(t, api, everything)
		began := time.Now()
		err := api.applier().Ready(t.Context(), []platform.Gate{dryRun("bad")}, nil, nil)
		require.EqualError(t, err, "ConfigMap demo/bad (from the gate at layers.yaml:7): ConfigMap bad is invalid")
		require.GreaterOrEqual(t, time.Since(began), grace, "a webhook that is starting may refuse for a moment")
		require.Less(t, time.Since(began), 2*grace)
	})
}

func TestUnmet(t *testing.T) {
	object := func(generation, observed, conditionObserved int64, status string) *unstructured.Unstructured {
		condition := map[string]any{"type": "Ready", "status": status}
		if conditionObserved > 0 {
			condition["observedGeneration"] = conditionObserved
		}
		fields := map[string]any{"conditions": []any{condition}}
		if observed > 0 {
			fields["observedGeneration"] = observed
		}
		return &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"generation": generation}, "status": fields}}
	}
	const stale = "its controller has not seen the latest change yet"
	require.Empty(t, unmet(object(2, 2, 0, "True"), "Ready", "True"))
	require.Empty(t, unmet(object(2, 0, 0, "True"), "Ready", "True"))
	require.Equal(t, stale, unmet(object(2, 1, 0, "True"), "Ready", "True"))
	require.Equal(t, stale, unmet(object(2, 0, 1, "True"), "Ready", "True"))
	require.Equal(t, "it is False", unmet(object(1, 1, 0, "False"), "Ready", "True"))
	require.Equal(t, "not reported yet", unmet(object(1, 1, 0, "True"), "Available", "True"))
}
