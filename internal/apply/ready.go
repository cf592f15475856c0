package apply

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/idp-blueprint/idp/internal/platform"
)

// Ready waits until all gates hold and the CustomResourceDefinitions among objs are served. It writes nothing: a DryRun gate
// is a request that the server doesn't store. Its bound is ctx; the error then joins one *TimeoutError for each thing that is
// missing. progress may be nil.
func (a *Applier) Ready(ctx context.Context, gates []platform.Gate, objs []*unstructured.Unstructured, progress func(waitingFor string)) error {
	if progress == nil {
		progress = func(string) {}
	}
	var waits []func() error
	for _, obj := range objs {
		if isCRD(obj) {
			waits = append(waits, func() error { return a.served(ctx, obj, progress) })
		}
	}
	for _, gate := range gates {
		waits = append(waits, a.gate(ctx, gate, objs, progress)...)
	}
	return together(waits)
}

func (a *Applier) gate(ctx context.Context, gate platform.Gate, objs []*unstructured.Unstructured, say func(string)) []func() error {
	var waits []func() error
	for _, name := range gate.Established {
		waits = append(waits, func() error { return a.established(ctx, name, say) })
	}
	if gate.Condition != nil {
		waits = append(waits, func() error { return a.condition(ctx, *gate.Condition, say) })
	}
	if gate.Every != nil {
		for _, c := range eachOf(*gate.Every, objs) {
			waits = append(waits, func() error { return a.condition(ctx, c, say) })
		}
	}
	if gate.DryRun != nil {
		waits = append(waits, func() error { return a.accepted(ctx, gate, say) })
	}
	return waits
}

// eachOf is a condition for each object of its kind, of whatever version.
func eachOf(every platform.Condition, objs []*unstructured.Unstructured) (each []platform.Condition) {
	kind := schema.FromAPIVersionAndKind(every.APIVersion, every.Kind).GroupKind()
	for _, obj := range objs {
		if obj.GroupVersionKind().GroupKind() == kind {
			c := every
			c.Name = obj.GetName()
			c.Namespace = cmp.Or(obj.GetNamespace(), every.Namespace)
			each = append(each, c)
		}
	}
	return each
}

var crdKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

func crdRef(name string) ObjectRef {
	return ObjectRef{Group: crdKind.Group, Kind: crdKind.Kind, Name: name}
}

// served waits until the server answers for the kind of a CRD that was applied, which it does from the moment on that the CRD
// is Established. Asking for the kind is cheaper than reading the CRD, and it is what the next object needs.
func (a *Applier) served(ctx context.Context, crd *unstructured.Unstructured, say func(string)) error {
	var first resource
	for _, r := range servedBy(crd) {
		first = r
		break
	}
	if first.Resource == "" {
		return nil // it serves no version: there is nothing to wait for
	}
	w := waiting{what: crdRef(crd.GetName()).String() + " to be served", object: crdRef(crd.GetName()), say: say}
	err := a.until(ctx, w, func(ctx context.Context) (string, error) {
		err := a.client.probe(ctx, first)
		switch {
		case apierrors.IsNotFound(err):
			return "not served yet", nil
		case err != nil && (unreachable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err)):
			return "", err
		}
		return "", nil // even a refusal comes from the kind's own handler
	})
	if err == nil {
		a.kinds.learn(crd)
	}
	return err
}

// established waits for a CRD by its name.
func (a *Applier) established(ctx context.Context, name string, say func(string)) error {
	w := waiting{
		what: "condition Established of " + crdRef(name).String(), object: crdRef(name), say: say,
		advice: "find the component that brings this CustomResourceDefinition and add it to the layer or to its needs",
	}
	return a.until(ctx, w, func(ctx context.Context) (string, error) {
		crd, err := a.read(ctx, crdKind, "", name)
		if crd == nil {
			return "it doesn't exist", err
		}
		missing := unmet(crd, "Established", "True")
		if missing == "" {
			a.kinds.learn(crd)
		}
		return missing, nil
	})
}

// condition waits for a status condition of one object.
func (a *Applier) condition(ctx context.Context, c platform.Condition, say func(string)) error {
	gvk := schema.FromAPIVersionAndKind(c.APIVersion, c.Kind)
	ref := ObjectRef{Group: gvk.Group, Kind: gvk.Kind, Namespace: c.Namespace, Name: c.Name}
	status := c.Status
	if status == "" {
		status = "True"
	}
	w := waiting{what: fmt.Sprintf("condition %s=%s of %s", c.Type, status, ref), object: ref, say: say}
	return a.until(ctx, w, func(ctx context.Context) (string, error) {
		obj, err := a.read(ctx, gvk, c.Namespace, c.Name)
		if obj == nil {
			return "it doesn't exist", err
		}
		return unmet(obj, c.Type, status), nil
	})
}

// read is an object, or nil where it or its kind isn't there.
func (a *Applier) read(ctx context.Context, gvk schema.GroupVersionKind, namespace, name string) (*unstructured.Unstructured, error) {
	res, err := a.kinds.find(ctx, gvk)
	if err == nil {
		var obj *unstructured.Unstructured
		if obj, err = a.client.get(ctx, res, namespace, name); err == nil {
			return obj, nil
		}
	}
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, nil
	}
	return nil, err
}

// unmet says what a condition is instead. A report made for an earlier generation of the object doesn't count.
func unmet(obj *unstructured.Unstructured, kind, want string) string {
	observed, found, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	if found && observed < obj.GetGeneration() {
		return "its controller has not seen the latest change yet"
	}
	for _, c := range conditionsOf(obj) {
		switch {
		case c.Type != kind:
		case c.Observed > 0 && c.Observed < obj.GetGeneration():
			return "its controller has not seen the latest change yet"
		case c.Status == want:
			return ""
		default:
			return strings.TrimSpace(fmt.Sprintf("it is %s %s %s", c.Status, c.Reason, c.Message))
		}
	}
	return "not reported yet"
}

// accepted waits until the server, its webhooks included, accepts an object. A refusal may come from a webhook that is still
// starting, so it counts only once it has lasted for the grace.
func (a *Applier) accepted(ctx context.Context, gate platform.Gate, say func(string)) error {
	obj := &unstructured.Unstructured{Object: gate.DryRun}
	ref, began := RefOf(obj), time.Now()
	w := waiting{
		what: "the API server to accept " + ref.String() + " in a dry run", object: ref, say: say,
		advice: "see whether the pods behind the webhook of this kind are ready",
	}
	err := a.until(ctx, w, func(ctx context.Context) (string, error) {
		res, err := a.kinds.find(ctx, obj.GroupVersionKind())
		if err == nil {
			err = a.client.try(ctx, res, placed(obj, res, metav1.NamespaceDefault))
		}
		switch {
		case err == nil:
			return "", nil
		case meta.IsNoMatchError(err) || apierrors.IsNotFound(err) || classify(err) == fatal && time.Since(began) < grace:
			return brief(err), nil
		}
		return "", err
	})
	if err == nil || ended(err) {
		return err
	}
	return &ObjectError{Object: ref, Component: fmt.Sprintf("the gate at layers.yaml:%d", gate.Line), Err: err}
}
