package apply

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var demo = Options{Component: "IT/demo", Namespace: "demo"}

func TestApplyKeepsArgoCDsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		api.probes = 2
		api.onGet = func(path string, obj map[string]any) {
			if strings.Contains(path, "/jobs/") {
				obj["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}
			}
			if strings.Contains(path, "/deployments/") {
				obj["status"] = map[string]any{"replicas": int64(1), "readyReplicas": int64(1), "updatedReplicas": int64(1), "availableReplicas": int64(1),
					"conditions": []any{map[string]any{"type": "Available", "status": "True"}}}
			}
		}
		objs := objects(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: late, annotations: {argocd.argoproj.io/sync-wave: "1"}}
---
apiVersion: example.dev/v1
kind: Widget
metadata: {name: custom}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: webhook}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: workload}
---
apiVersion: batch/v1
kind: Job
metadata: {name: after, annotations: {helm.sh/hook: "post-install,post-upgrade"}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: before, annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "1"}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: before-that, annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-1"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: support}
---
apiVersion: batch/v1
kind: Job
metadata: {name: test, annotations: {helm.sh/hook: test}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: skipped, annotations: {argocd.argoproj.io/hook: Skip}}
---`+widgets+`
---
apiVersion: v1
kind: Namespace
metadata: {name: demo}
`)
		result, err := api.applier().Apply(t.Context(), objs, demo)
		require.NoError(t, err)
		require.Equal(t, []string{
			"PATCH /api/v1/namespaces/demo",
			"PATCH /apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.dev",
			"PATCH /api/v1/namespaces/demo/serviceaccounts/before-that",
			"PATCH /apis/batch/v1/namespaces/demo/jobs/before",
			"PATCH /api/v1/namespaces/demo/configmaps/support",
			"PATCH /apis/apps/v1/namespaces/demo/deployments/workload",
			"PATCH /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/webhook",
			"PATCH /apis/example.dev/v1/namespaces/demo/widgets/custom",
			"PATCH /api/v1/namespaces/demo/configmaps/late",
			"PATCH /apis/batch/v1/namespaces/demo/jobs/after",
		}, api.writes())
		require.Len(t, result.Created, 10)
		require.Empty(t, objs[0].GetNamespace(), "the caller's objects stay as they are")
	})
}

func TestApplyCountsWhatChanged(t *testing.T) {
	api := newFakeAPI(t)
	a := api.applier()
	objs := objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: b, namespace: elsewhere}")
	first, err := a.Apply(t.Context(), objs, demo)
	require.NoError(t, err)
	require.Len(t, first.Created, 3)
	require.Contains(t, first.Created, ObjectRef{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "b", App: "demo"}, "a kind without namespaces gets none")

	again := demo
	again.Previous = first.Created
	second, err := a.Apply(t.Context(), objs, again)
	require.NoError(t, err)
	require.Equal(t, first.Created, second.Unchanged)
	require.Zero(t, second.Changed())

	objs[1].Object["data"] = map[string]any{"x": "y"}
	third, err := a.Apply(t.Context(), objs, again)
	require.NoError(t, err)
	require.Equal(t, []ObjectRef{{Kind: "ConfigMap", Namespace: "demo", Name: "a", App: "demo"}}, third.Configured)
	require.Len(t, third.Unchanged, 2)
}

func TestApplyRetriesWhatPasses(t *testing.T) {
	faults := map[string]func() (*http.Response, error){
		"webhook that doesn't answer": func() (*http.Response, error) {
			return refuse(500, "InternalError", "Internal error occurred: failed calling webhook \"x\": connection refused"), nil
		},
		"conflict":          func() (*http.Response, error) { return refuse(409, "Conflict", "the object has been modified"), nil },
		"too many requests": func() (*http.Response, error) { return refuse(429, "TooManyRequests", "slow down"), nil },
		"unavailable": func() (*http.Response, error) {
			return refuse(503, "ServiceUnavailable", "apiserver is shutting down"), nil
		},
		"broken connection": func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"refused":           func() (*http.Response, error) { return nil, syscall.ECONNREFUSED },
		"not served yet": func() (*http.Response, error) {
			return refuse(404, "NotFound", "could not find the requested resource"), nil
		},
		"old schema": func() (*http.Response, error) { return refuse(500, "", ".spec.x: field not declared in schema"), nil },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := newFakeAPI(t)
				left := 3
				api.fault = func(r *http.Request) (*http.Response, error, bool) {
					if r.Method != http.MethodPatch || left == 0 {
						return nil, nil, false
					}
					left--
					response, err := fault()
					return response, err, true
				}
				var said []string
				o := demo
				o.Progress = func(text string) { said = append(said, text) }
				result, err := api.applier().Apply(t.Context(), objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}"), o)
				require.NoError(t, err)
				require.Len(t, result.Created, 1)
				require.Zero(t, left)
				require.Len(t, said, 1, "the same reason is told once")
				require.Contains(t, said[0], "the cluster to take Namespace demo: ")
			})
		})
	}
}

func TestApplyReportsEveryBadObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		objs := objects(t, `
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: Namespace
metadata: {name: bad-namespace}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: not-tried, namespace: bad-namespace}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: bad-config}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: good}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: homeless, namespace: absent}
---
apiVersion: nobody.dev/v1
kind: Unknown
metadata: {name: stranger}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad-workload}
`)
		began := time.Now()
		_, err := api.applier().Apply(t.Context(), objs, demo)
		require.Error(t, err)
		require.Equal(t, []string{
			`Namespace bad-namespace (from IT/demo): Namespace bad-namespace is invalid`,
		}, strings.Split(err.Error(), "\n"), "the namespaces come first, and without them nothing else is worth a try")

		objs = append(objs[:1], objs[3:]...)
		_, err = api.applier().Apply(t.Context(), objs, demo)
		require.Error(t, err)
		require.Equal(t, []string{
			`ConfigMap bad-config (from IT/demo): ConfigMap bad-config is invalid`,
			`ConfigMap absent/homeless (from IT/demo): namespaces "absent" not found; add the layer that creates the namespace to this layer's needs`,
			`Deployment bad-workload (from IT/demo): Deployment bad-workload is invalid`,
			`Unknown.nobody.dev stranger (from IT/demo): no matches for kind "Unknown" in version "nobody.dev/v1"; add the layer that brings its CustomResourceDefinition to this layer's needs`,
		}, strings.Split(err.Error(), "\n"))
		var fault *ObjectError
		require.ErrorAs(t, err, &fault)
		require.Less(t, time.Since(began), 2*grace, "the second wait for what should pass is short")
		require.Contains(t, api.writes(), "PATCH /api/v1/namespaces/demo/configmaps/good")
	})
}

func TestApplyRefusesWhatHasNoName(t *testing.T) {
	api := newFakeAPI(t)
	_, err := api.applier().Apply(t.Context(), objects(t, "apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: x}\n---\nkind: Secret\nmetadata: {name: s}"), demo)
	require.ErrorContains(t, err, "has no metadata.name")
	require.ErrorContains(t, err, "has no apiVersion")
	require.Empty(t, api.requests)
}

func TestApplyTimesOutWithTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		api.fault = func(r *http.Request) (*http.Response, error, bool) {
			return refuse(500, "InternalError", "failed calling webhook"), nil, r.Method == http.MethodPatch
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := api.applier().Apply(ctx, objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}"), demo)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var timeout *TimeoutError
		require.ErrorAs(t, err, &timeout)
		require.Contains(t, err.Error(), "timed out waiting for the cluster to take Namespace demo\n  the API server says: failed calling webhook")
	})
}

func TestApplyIsInterruptedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		ctx, cancel := context.WithCancel(t.Context())
		api.fault = func(r *http.Request) (*http.Response, error, bool) {
			if r.Method != http.MethodPatch {
				return nil, nil, false
			}
			cancel()
			return nil, io.EOF, true
		}
		_, err := api.applier().Apply(ctx, objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}"), demo)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "interrupted while waiting for the cluster to take Namespace demo")
	})
}

func TestApplyGathersWarnings(t *testing.T) {
	api := newFakeAPI(t)
	api.warn = "admitted by a simulated webhook"
	result, err := api.applier().Apply(t.Context(), objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}"), demo)
	require.NoError(t, err)
	require.Equal(t, []Warning{{Object: ObjectRef{Kind: "Namespace", Name: "demo", App: "demo"}, Text: api.warn}}, result.Warnings)
}

func TestApplyReplaces(t *testing.T) {
	for option, want := range map[string][]string{
		"Replace=true":            {"PUT /apis/batch/v1/namespaces/demo/jobs/j"},
		"Replace=true,Force=true": {"DELETE /apis/batch/v1/namespaces/demo/jobs/j", "POST /apis/batch/v1/namespaces/demo/jobs"},
	} {
		t.Run(option, func(t *testing.T) {
			api := newFakeAPI(t)
			objs := objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: j, annotations: {argocd.argoproj.io/sync-options: '"+option+"'}}")
			_, err := api.applier().Apply(t.Context(), objs, demo)
			require.NoError(t, err)
			require.Equal(t, "POST /apis/batch/v1/namespaces/demo/jobs", api.writes()[1])
			before := len(api.writes())
			objs[1].Object["spec"] = map[string]any{"x": "y"}
			result, err := api.applier().Apply(t.Context(), objs[1:], demo)
			require.NoError(t, err)
			require.Equal(t, want, api.writes()[before:])
			require.Len(t, result.Configured, 1)
		})
	}
}

func TestClassify(t *testing.T) {
	require.Equal(t, fatal, classify(errors.New("anything")))
	require.Equal(t, fatal, classify(statusOf(403, "Forbidden", "no")))
	require.Equal(t, soon, classify(statusOf(403, "Forbidden", "error looking up service account a/b")))
	require.Equal(t, fatal, classify(statusOf(422, "Invalid", "no")))
	require.Equal(t, transient, classify(statusOf(500, "InternalError", "no")))
	require.Equal(t, transient, classify(context.DeadlineExceeded))
	require.True(t, Transient(io.EOF))
	require.False(t, Transient(nil))
}

func TestApplyNeverDeletesWhatHoldsOthers(t *testing.T) {
	api := newFakeAPI(t)
	objs := objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo, annotations: {argocd.argoproj.io/sync-options: 'Replace=true,Force=true'}}")
	for range 2 {
		_, err := api.applier().Apply(t.Context(), objs, demo)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"POST /api/v1/namespaces", "PUT /api/v1/namespaces/demo"}, api.writes())
}

func TestApplyFindsAKindThatCameLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI(t)
		a := api.applier()
		_, err := a.Apply(t.Context(), objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}"), demo)
		require.NoError(t, err)
		time.AfterFunc(3*time.Second, func() { applied(t, api, widgets) }) // by somebody else
		_, err = a.Apply(t.Context(), objects(t, "apiVersion: example.dev/v1\nkind: Widget\nmetadata: {name: w}"), demo)
		require.NoError(t, err)
	})
}

func TestApplyRecreatesWhatMayNotChange(t *testing.T) {
	const owned = "argocd.argoproj.io/tracking-id"
	tests := map[string]struct {
		kind      string
		live, obj map[string]string
		recreated bool
	}{
		"a Job":                     {"Job", nil, nil, true},
		"somebody else's Job":       {"Job", map[string]string{owned: "other:x"}, nil, false},
		"a Service":                 {"Service", nil, nil, false},
		"a stand-in for a Service":  {"Service", map[string]string{annotationSimulated: "inventory"}, nil, true},
		"a Service for a stand-in":  {"Service", nil, map[string]string{annotationSimulated: "inventory"}, true},
		"a stand-in of a Namespace": {"Namespace", map[string]string{annotationSimulated: "inventory"}, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI(t)
			version := map[string]string{"Job": "batch/v1"}[tt.kind]
			objs := objects(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: demo}\n---\napiVersion: "+cmp.Or(version, "v1")+"\nkind: "+tt.kind+"\nmetadata: {name: x}\nfixed: 1")
			for key, value := range tt.live {
				annotate(objs[1], key, value)
			}
			_, err := api.applier().Apply(t.Context(), objs, demo)
			require.NoError(t, err)
			changed := objects(t, "apiVersion: "+cmp.Or(version, "v1")+"\nkind: "+tt.kind+"\nmetadata: {name: x}\nfixed: 2")
			for key, value := range tt.obj {
				annotate(changed[0], key, value)
			}
			result, err := api.applier().Apply(t.Context(), changed, demo)
			if !tt.recreated {
				require.ErrorContains(t, err, "field is immutable; a field that can't change did")
				require.Less(t, len(err.Error()), 1000, "a message that quotes the object is cut")
				return
			}
			require.NoError(t, err)
			require.Len(t, result.Configured, 1)
			require.Contains(t, api.writes()[len(api.writes())-2], "DELETE ")
		})
	}
}

func TestObjectErrorKeepsSecrets(t *testing.T) {
	refusal := &apierrors.StatusError{ErrStatus: metav1.Status{
		Reason: metav1.StatusReasonInvalid, Message: `data[key]: Invalid value: "hunter2"`,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Field: "data[key]", Message: `Invalid value: "hunter2"`}}},
	}}
	err := &ObjectError{Object: ObjectRef{Kind: "Secret", Namespace: "a", Name: "b"}, Err: refusal}
	require.EqualError(t, err, "Secret a/b: Invalid, data[key]")
}
