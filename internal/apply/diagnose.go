package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	diagnoseTimeout = 5 * time.Second // for all questions about one object
	maxLines        = 8               // of events, and of pods
)

// waiting is what a wait is about, for progress and for the error at its bound.
type waiting struct {
	what   string // "condition Available of Deployment cert-manager/cert-manager-webhook"
	object ObjectRef
	home   string // the namespace of an object whose reference lacks one that its kind needs
	advice string
	grace  time.Duration // see grace; 0 means that
	say    func(string)
}

// expired makes the error of a wait that its context ended: a *TimeoutError with a diagnosis where its time was up, a short
// one where it was interrupted.
func (a *Applier) expired(ctx context.Context, w waiting, last error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("interrupted while waiting for %s: %w", w.what, context.Cause(ctx))
	}
	timeout := &TimeoutError{Waiting: w.what, Object: w.object, Last: last, Advice: w.advice}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), diagnoseTimeout)
	defer cancel()
	a.diagnose(ctx, timeout, w.home)
	return timeout
}

// diagnose adds what the cluster tells about the object. What can't be read is left out: the time-out itself is the news.
func (a *Applier) diagnose(ctx context.Context, t *TimeoutError, home string) {
	if t.Object.Name == "" {
		return
	}
	r, err := a.kinds.find(ctx, t.Object.GroupKind().WithVersion(""))
	if r.Namespaced && t.Object.Namespace == "" {
		t.Object.Namespace = home
	}
	t.Advice = cmp.Or(t.Advice, "look at it: "+describe(t.Object))
	if err != nil {
		t.Conditions = []string{"the cluster doesn't serve " + t.Object.GroupKind().String()}
		return
	}
	obj, err := a.client.get(ctx, r, t.Object.Namespace, t.Object.Name)
	if err != nil {
		t.Conditions = []string{brief(err)}
		return
	}
	t.Conditions = describeConditions(obj)
	t.Events = a.events(ctx, t.Object)
	t.Pods = a.podReasons(ctx, obj)
}

func describe(ref ObjectRef) string {
	kind := strings.ToLower(ref.GroupKind().String())
	if builtIn(ref.Group) {
		kind = strings.ToLower(ref.Kind)
	}
	if ref.Namespace == "" {
		return fmt.Sprintf("kubectl describe %s %s", kind, ref.Name)
	}
	return fmt.Sprintf("kubectl -n %s describe %s %s", ref.Namespace, kind, ref.Name)
}

// condition is what conditions of all kinds have in common.
type condition struct {
	Type, Status, Reason, Message string
	Observed                      int64 // generation it was made for, 0 where it doesn't say
}

func conditionsOf(obj *unstructured.Unstructured) []condition {
	entries, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	var conditions []condition
	for _, entry := range entries {
		fields, ok := entry.(map[string]any)
		if !ok {
			continue
		}
		text := func(name string) string { value, _ := fields[name].(string); return value }
		observed, _ := fields["observedGeneration"].(int64)
		conditions = append(conditions, condition{text("type"), text("status"), text("reason"), text("message"), observed})
	}
	return conditions
}

func describeConditions(obj *unstructured.Unstructured) []string {
	var lines []string
	if deleted := obj.GetDeletionTimestamp(); deleted != nil {
		lines = append(lines, "being deleted, held by its finalizers "+strings.Join(obj.GetFinalizers(), ", "))
	}
	for _, c := range conditionsOf(obj) {
		line := c.Type + "=" + c.Status
		if c.Reason != "" {
			line += " (" + c.Reason + ")"
		}
		if c.Message != "" {
			line += ": " + c.Message
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = []string{"none: no controller has reported on it yet"}
	}
	return lines
}

// events are the last events about an object, oldest first.
func (a *Applier) events(ctx context.Context, ref ObjectRef) []string {
	namespace := cmp.Or(ref.Namespace, metav1.NamespaceDefault)
	fields := fmt.Sprintf("involvedObject.kind=%s,involvedObject.name=%s", ref.Kind, ref.Name)
	list, err := a.client.list(ctx, coreResource("events"), namespace, "", fields)
	if err != nil {
		return nil
	}
	slices.SortStableFunc(list.Items, func(x, y unstructured.Unstructured) int { return cmp.Compare(eventTime(x), eventTime(y)) })
	var lines []string
	for _, event := range list.Items {
		text := func(name string) string { value, _ := event.Object[name].(string); return value }
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", eventTime(event), text("type"), text("reason"), text("message")))
	}
	return lines[max(0, len(lines)-maxLines):]
}

func eventTime(event unstructured.Unstructured) string {
	for _, field := range []string{"lastTimestamp", "eventTime"} {
		if at, _ := event.Object[field].(string); at != "" {
			return at
		}
	}
	return event.GetCreationTimestamp().UTC().Format(time.RFC3339)
}

// podReasons says of each pod of a workload that isn't ready why not.
func (a *Applier) podReasons(ctx context.Context, workload *unstructured.Unstructured) []string {
	labels, _, _ := unstructured.NestedStringMap(workload.Object, "spec", "selector", "matchLabels")
	if len(labels) == 0 || !isWorkload(workload.GetKind()) {
		return nil
	}
	selector := metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: labels})
	list, err := a.client.list(ctx, coreResource("pods"), workload.GetNamespace(), selector, "")
	if err != nil {
		return nil
	}
	if len(list.Items) == 0 {
		return []string{"none: see the events of its ReplicaSet or controller"}
	}
	var lines []string
	for i := range list.Items {
		if reason := podReason(&list.Items[i]); reason != "" && len(lines) < maxLines {
			lines = append(lines, list.Items[i].GetName()+": "+reason)
		}
	}
	return lines
}

// podReason is empty for a pod that is ready.
func podReason(pod *unstructured.Unstructured) string {
	var parts []string
	for _, c := range conditionsOf(pod) {
		if c.Type == "Ready" && c.Status == "True" {
			return ""
		}
		if c.Status != "True" && c.Message != "" && c.Type != "ContainersReady" {
			parts = append(parts, c.Message)
		}
	}
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	return strings.Join(append([]string{phase}, append(parts, containerReasons(pod)...)...), "; ")
}

func containerReasons(pod *unstructured.Unstructured) []string {
	var reasons []string
	for _, field := range []string{"initContainerStatuses", "containerStatuses"} {
		statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", field)
		for _, entry := range statuses {
			status, ok := entry.(map[string]any)
			if !ok {
				continue
			}
			reason, found, _ := unstructured.NestedString(status, "state", "waiting", "reason")
			if found {
				message, _, _ := unstructured.NestedString(status, "state", "waiting", "message")
				reasons = append(reasons, strings.TrimSpace(fmt.Sprintf("container %v %s %s", status["name"], reason, message)))
			}
		}
	}
	return reasons
}

func coreResource(name string) resource {
	return resource{GroupVersionResource: schema.GroupVersionResource{Version: "v1", Resource: name}, Namespaced: true}
}
