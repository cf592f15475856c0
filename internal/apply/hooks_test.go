package apply

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func statusOf(code int32, reason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: "Failure", Code: code, Reason: metav1.StatusReason(reason), Message: message}}
}

// withJobs makes Jobs end after some reads with the given condition.
func withJobs(api *fakeAPI, reads int, condition string) {
	api.onGet = func(path string, obj map[string]any) {
		if !strings.Contains(path, "/jobs/") {
			return
		}
		if reads--; reads <= 0 {
			obj["status"] = map[string]any{"conditions": []any{map[string]any{"type": condition, "status": "True", "reason": "Why", "message": "because"}}}
		}
	}
}

const hookJob = "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-install, helm.sh/hook-delete-policy: 'POLICY'}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: main}"

func TestHooksAreAwaitedAndDeleted(t *testing.T) {
	const job, main = "/apis/batch/v1/namespaces/demo/jobs/hook", "PATCH /api/v1/namespaces/demo/configmaps/main"
	tests := map[string]struct {
		policy, ends string
		first, again []string
		fails        bool
	}{
		"by default the next run makes place": {"", "Complete", []string{"PATCH " + job, main}, []string{"DELETE " + job, "PATCH " + job, main}, false},
		"kept":                                {"hook-failed", "Complete", []string{"PATCH " + job, main}, []string{"PATCH " + job, main}, false},
		"on success":                          {"hook-succeeded", "Complete", []string{"PATCH " + job, main, "DELETE " + job}, []string{"PATCH " + job, main, "DELETE " + job}, false},
		"failure":                             {"hook-succeeded", "Failed", []string{"PATCH " + job}, []string{"PATCH " + job}, true},
		"after a failure":                     {"before-hook-creation,hook-failed", "Failed", []string{"PATCH " + job, "DELETE " + job}, []string{"PATCH " + job, "DELETE " + job}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI(t)
				objs := objects(t, strings.Replace(hookJob, "POLICY", tt.policy, 1))
				seen := 1
				for _, want := range [][]string{tt.first, tt.again} {
					withJobs(api, 4, tt.ends)
					_, err := api.applier().Apply(t.Context(), objs, demo)
					if tt.fails {
						require.EqualError(t, err, "Job demo/hook (from IT/demo): the hook failed: Why because")
					} else {
						require.NoError(t, err)
					}
					require.Equal(t, want, api.writes()[seen:])
					seen = len(api.writes()) + 1
				}
			})
		})
	}
}

func TestHookThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := api.applier().Apply(ctx, objects(t, strings.Replace(hookJob, "POLICY", "", 1)), demo)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "timed out waiting for the hook Job demo/hook to finish")
		require.NotContains(t, api.writes(), "PATCH /api/v1/namespaces/demo/configmaps/main")
	})
}

func TestHookWithGeneratedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		withJobs(api, 2, "Complete")
		objs := objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {generateName: gen-, annotations: {argocd.argoproj.io/hook: PostSync, argocd.argoproj.io/hook-delete-policy: HookSucceeded}}")
		_, err := api.applier().Apply(t.Context(), objs, demo)
		require.NoError(t, err)
		require.Equal(t, []string{"POST /apis/batch/v1/namespaces/demo/jobs", "DELETE /apis/batch/v1/namespaces/demo/jobs/gen-x7"}, api.writes()[1:])
	})
}

func TestPodFinished(t *testing.T) {
	for phase, want := range map[string]string{"Succeeded": "", "Running": "still running", "": "still running"} {
		missing, err := podFinished(&unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": phase}}})
		require.NoError(t, err)
		require.Equal(t, want, missing)
	}
	_, err := podFinished(&unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": "Failed"}}})
	require.Error(t, err)
}
