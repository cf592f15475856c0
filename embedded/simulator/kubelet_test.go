package simulator

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"
	"sigs.k8s.io/kwok/pkg/utils/lifecycle"
	"sigs.k8s.io/yaml"
)

// play runs the stage that fits an object and returns its name and the object after it, or "" and nil where none fits.
func play[T any](t *testing.T, kind string, object *T, meta metav1.ObjectMeta) (stage string, deleted bool, after T) {
	t.Helper()
	stages, err := loadStages(stagesYAML)
	require.NoError(t, err)
	lc, err := lifecycle.NewLifecycle(stages[internalversion.StageResourceRef{APIGroup: "v1", Kind: kind}])
	require.NoError(t, err)
	match, err := lc.Match(context.Background(), &lifecycle.Event{Labels: meta.Labels, Annotations: meta.Annotations, Data: object})
	require.NoError(t, err)
	if match == nil {
		return "", false, after
	}
	renderer := gotpl.NewRenderer(gotpl.FuncMap{
		"NodeIPsWith": func(string) []string { return []string{"10.243.0.1"} },
		"PodIPsWith":  func(string, bool, string, string, string) []string { return []string{"10.244.0.2"} },
	})
	_, err = match.DoSteps(0, meta.Finalizers, object, renderer,
		func(*internalversion.StageEvent) error { return nil },
		func() error { deleted = true; return nil },
		func(p *lifecycle.Patch) error {
			require.Equal(t, "status", p.Subresource)
			require.Equal(t, types.StrategicMergePatchType, p.Type)
			before, err := yaml.Marshal(object)
			require.NoError(t, err)
			before, err = yaml.YAMLToJSON(before)
			require.NoError(t, err)
			merged, err := strategicpatch.StrategicMergePatch(before, p.Data, object)
			require.NoError(t, err)
			return yaml.Unmarshal(merged, &after)
		},
		func(*lifecycle.Apply) error { return nil })
	require.NoError(t, err)
	return match.Name(), deleted, after
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus) corev1.PodCondition {
	return corev1.PodCondition{Type: kind, Status: status}
}

func TestPodStages(t *testing.T) {
	spec := corev1.PodSpec{
		NodeName: "infra-0", RestartPolicy: corev1.RestartPolicyAlways,
		InitContainers: []corev1.Container{{Name: "init", Image: "i"}, {Name: "sidecar", Image: "s", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}},
		Containers:     []corev1.Container{{Name: "main", Image: "m"}},
		ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "ex.dev/gate"}},
	}
	once := *spec.DeepCopy()
	once.RestartPolicy = corev1.RestartPolicyOnFailure
	now := metav1.Now()
	ready, unready := condition(corev1.PodReady, corev1.ConditionTrue), condition(corev1.PodReady, corev1.ConditionFalse)
	tests := map[string]struct {
		pod   corev1.Pod
		stage string
		phase corev1.PodPhase
		ready corev1.ConditionStatus
	}{
		"new":                     {corev1.Pod{Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodPending}}, "pod-ready", corev1.PodRunning, corev1.ConditionTrue},
		"new, of a Job":           {corev1.Pod{Spec: once, Status: corev1.PodStatus{Phase: corev1.PodPending}}, "pod-ready", corev1.PodRunning, corev1.ConditionTrue},
		"running":                 {corev1.Pod{Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{ready}}}, "", "", ""},
		"running, of a Job":       {corev1.Pod{Spec: once, Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{ready}}}, "pod-complete", corev1.PodSucceeded, corev1.ConditionFalse},
		"completed":               {corev1.Pod{Spec: once, Status: corev1.PodStatus{Phase: corev1.PodSucceeded, Conditions: []corev1.PodCondition{unready}}}, "", "", ""},
		"after its node was lost": {corev1.Pod{Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{unready}}}, "pod-ready-again", corev1.PodRunning, corev1.ConditionTrue},
		"deleted":                 {corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{ready}}}, "pod-delete", "", ""},
		"deleted before it ran":   {corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now}, Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodPending}}, "pod-delete", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stage, deleted, after := play(t, "Pod", &tt.pod, tt.pod.ObjectMeta)
			require.Equal(t, tt.stage, stage)
			require.Equal(t, tt.stage == "pod-delete", deleted)
			require.Equal(t, tt.phase, after.Status.Phase)
			for _, c := range after.Status.Conditions {
				if c.Type == corev1.PodReady {
					require.Equal(t, tt.ready, c.Status)
				}
			}
			if tt.stage != "pod-ready" {
				return
			}
			var types []corev1.PodConditionType
			for _, c := range after.Status.Conditions {
				types = append(types, c.Type)
				require.Equal(t, corev1.ConditionTrue, c.Status)
			}
			require.Subset(t, types, []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady, "ex.dev/gate", "idp.dev/Simulated"})
			require.Equal(t, "10.244.0.2", after.Status.PodIP)
			require.Equal(t, "10.243.0.1", after.Status.HostIP)
			require.NotNil(t, after.Status.ContainerStatuses[0].State.Running)
			require.NotNil(t, after.Status.InitContainerStatuses[0].State.Terminated)
			require.NotNil(t, after.Status.InitContainerStatuses[1].State.Running)
		})
	}
}

func TestNodeStages(t *testing.T) {
	tests := map[string]struct {
		status corev1.ConditionStatus
		stage  string
	}{
		"new":        {"", "node-initialize"},
		"ready":      {corev1.ConditionTrue, ""},
		"was silent": {corev1.ConditionUnknown, "node-initialize"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			node := corev1.Node{}
			if tt.status != "" {
				node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: tt.status}}
			}
			stage, _, after := play(t, "Node", &node, node.ObjectMeta)
			require.Equal(t, tt.stage, stage)
			if stage == "" {
				return
			}
			for _, c := range after.Status.Conditions {
				require.Contains(t, c.Message, "simulated: ")
				require.Equal(t, c.Type == corev1.NodeReady, c.Status == corev1.ConditionTrue)
			}
		})
	}
}

type broken struct{}

func (broken) RoundTrip(*http.Request) (*http.Response, error) { return nil, http.ErrServerClosed }

func TestRetryable(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", nil)
	require.NoError(t, err)
	_, err = retryable{broken{}}.RoundTrip(req)
	require.True(t, utilnet.IsConnectionRefused(err))
	require.ErrorIs(t, err, http.ErrServerClosed)
	cancel()
	_, err = retryable{broken{}}.RoundTrip(req)
	require.False(t, utilnet.IsConnectionRefused(err), "who gave up isn't made to try again")
}
