package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

// applyHook makes a hook run: the one of a former run makes place first, unless its delete policy says otherwise. The object
// in the answer has the name that the cluster gave it.
func (a *Applier) applyHook(ctx context.Context, r *run, res resource, obj *unstructured.Unstructured) (*unstructured.Unstructured, outcome, error) {
	if obj.GetName() == "" {
		made, err := a.client.create(ctx, res, obj)
		if err != nil {
			return nil, 0, err
		}
		obj = obj.DeepCopy()
		obj.SetName(made.Name)
		return obj, created, nil
	}
	if slices.Contains(deletePolicies(obj), "before-hook-creation") {
		live, err := a.client.metadata(ctx, res, obj.GetNamespace(), obj.GetName())
		if err == nil {
			err = a.remove(ctx, res, live, RefOf(obj), r.options.Progress)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, 0, err
		}
	}
	became, err := a.applyPlain(ctx, r, res, obj)
	return obj, became, err
}

// deletePolicies are Argo CD's and Helm's in Helm's words; without any, a hook goes before the next one of its name comes.
func deletePolicies(obj *unstructured.Unstructured) []string {
	annotations := obj.GetAnnotations()
	var policies []string
	for _, policy := range commaList(annotations[annotationHookDelete]) {
		switch policy {
		case "BeforeHookCreation":
			policies = append(policies, "before-hook-creation")
		case "HookSucceeded":
			policies = append(policies, "hook-succeeded")
		case "HookFailed":
			policies = append(policies, "hook-failed")
		}
	}
	policies = append(policies, commaList(annotations[annotationHelmHookDelete])...)
	if len(policies) == 0 {
		return []string{"before-hook-creation"}
	}
	return policies
}

func (r *run) noteHook(t task, obj *unstructured.Unstructured) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks[RefOf(obj)] = task{obj: obj, phase: t.phase, wave: t.wave, hook: true}
}

// settle waits for what Argo CD waits for between waves: hooks to finish, and workloads to be ready, unless nothing comes
// after them: then the gates decide.
func (a *Applier) settle(ctx context.Context, r *run, s stage, last bool) error {
	var waits []func() error
	for ref, t := range r.hooksOf(s) {
		waits = append(waits, func() error { return a.awaitHook(ctx, r, ref, t.obj) })
	}
	for _, t := range s.tasks {
		if !t.hook && !last && isWorkload(t.obj.GetKind()) {
			waits = append(waits, func() error { return a.awaitReady(ctx, r, t.obj) })
		}
	}
	return together(waits)
}

func (r *run) hooksOf(s stage) map[ObjectRef]task {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[ObjectRef]task{}
	for ref, t := range r.hooks {
		if t.phase == s.phase && t.wave == s.wave {
			found[ref] = t
		}
	}
	return found
}

// awaitHook waits for the end of a hook that has one, a Job or a Pod.
func (a *Applier) awaitHook(ctx context.Context, r *run, ref ObjectRef, obj *unstructured.Unstructured) error {
	finished := jobFinished
	switch {
	case ref.Group == "batch" && ref.Kind == "Job":
	case ref.Group == "" && ref.Kind == "Pod":
		finished = podFinished
	default:
		return nil
	}
	return a.awaitObject(ctx, r, "the hook "+ref.String()+" to finish", obj, finished)
}

func jobFinished(job *unstructured.Unstructured) (missing string, err error) {
	for _, c := range conditionsOf(job) {
		switch {
		case c.Type == "Complete" && c.Status == "True":
			return "", nil
		case c.Type == "Failed" && c.Status == "True":
			return "", fmt.Errorf("the hook failed: %s %s", c.Reason, c.Message)
		}
	}
	return "still running", nil
}

func podFinished(pod *unstructured.Unstructured) (missing string, err error) {
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	switch phase {
	case "Succeeded":
		return "", nil
	case "Failed":
		return "", fmt.Errorf("the hook failed: %s", podReason(pod))
	}
	return "still running", nil
}

// awaitReady waits for a workload as kstatus understands it.
func (a *Applier) awaitReady(ctx context.Context, r *run, obj *unstructured.Unstructured) error {
	return a.awaitObject(ctx, r, RefOf(obj).String()+", which the next wave needs", obj, func(live *unstructured.Unstructured) (string, error) {
		result, err := status.Compute(live)
		switch {
		case err != nil:
			return "", err
		case result.Status == status.CurrentStatus:
			return "", nil
		case result.Status == status.FailedStatus:
			return "", errors.New(result.Message)
		}
		return strings.ToLower(string(result.Status)) + ", " + result.Message, nil
	})
}

// awaitObject reads an object until judge has nothing missing or finds that it never will.
func (a *Applier) awaitObject(ctx context.Context, r *run, what string, obj *unstructured.Unstructured, judge func(*unstructured.Unstructured) (string, error)) error {
	res, err := a.kinds.find(ctx, obj.GroupVersionKind())
	if err != nil {
		return err
	}
	obj = placed(obj, res, r.options.Namespace)
	w := waiting{what: what, object: RefOf(obj), say: r.options.Progress}
	err = a.until(ctx, w, func(ctx context.Context) (string, error) {
		live, err := a.client.get(ctx, res, obj.GetNamespace(), obj.GetName())
		if err != nil {
			return "", err
		}
		return judge(live)
	})
	if err == nil || ended(err) {
		return err
	}
	return &ObjectError{Object: RefOf(obj), Component: r.options.Component, Err: err}
}

// dropHooks deletes the hooks of this run that have the given delete policy. It doesn't wait for their end.
func (a *Applier) dropHooks(ctx context.Context, r *run, policy string) error {
	var drops []func() error
	for ref, t := range r.hooks {
		if slices.Contains(deletePolicies(t.obj), policy) {
			drops = append(drops, func() error { return a.dropHook(ctx, r, ref, t) })
		}
	}
	return together(drops)
}

// dropFailed is dropHooks after a failure, with time of its own, since the run's may be what failed.
func (a *Applier) dropFailed(ctx context.Context, r *run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), diagnoseTimeout)
	defer cancel()
	return a.dropHooks(ctx, r, "hook-failed")
}

func (a *Applier) dropHook(ctx context.Context, r *run, ref ObjectRef, t task) error {
	res, err := a.kinds.find(ctx, t.obj.GroupVersionKind())
	if err != nil {
		return err
	}
	w := waiting{what: "the cluster to delete the hook " + ref.String(), object: ref, say: r.options.Progress}
	return a.until(ctx, w, func(ctx context.Context) (string, error) {
		live, err := a.client.metadata(ctx, res, ref.Namespace, ref.Name)
		if err == nil {
			err = a.client.delete(ctx, res, ref.Namespace, ref.Name, live.UID, metav1.DeletePropagationBackground)
		}
		if apierrors.IsNotFound(err) {
			err = nil
		}
		return "", err
	})
}

// together runs functions side by side and joins their errors in the order of the functions.
func together(functions []func() error) error {
	errs := make([]error, len(functions))
	var all sync.WaitGroup
	for i, f := range functions {
		all.Go(func() { errs[i] = f() })
	}
	all.Wait()
	return errors.Join(errs...)
}
