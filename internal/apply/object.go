package apply

import (
	"context"
	"maps"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// outcome is what became of one object.
type outcome int

const (
	created outcome = iota
	configured
	unchanged
)

// applyTask brings one object into the cluster, trying again while the cluster isn't able to take it.
func (a *Applier) applyTask(ctx context.Context, r *run, t task) error {
	w := waiting{
		what: "the cluster to take " + RefOf(t.obj).String(), object: RefOf(t.obj), home: r.options.Namespace,
		grace: r.grace(), say: r.options.Progress,
	}
	err := a.until(ctx, w, func(ctx context.Context) (string, error) { return "", a.applyOnce(ctx, r, t) })
	if err == nil && isCRD(t.obj) {
		err = a.served(ctx, t.obj, r.options.Progress)
	}
	if err == nil {
		return nil
	}
	r.noteFault()
	if ended(err) {
		return err
	}
	return &ObjectError{Object: RefOf(t.obj), Component: r.options.Component, Err: err}
}

// applyOnce is one attempt.
func (a *Applier) applyOnce(ctx context.Context, r *run, t task) error {
	res, err := a.kinds.find(ctx, t.obj.GroupVersionKind())
	if err != nil {
		return err
	}
	ctx, heard := withWarnings(ctx)
	obj := placed(t.obj, res, r.options.Namespace)
	var became outcome
	switch {
	case t.hook:
		obj, became, err = a.applyHook(ctx, r, res, obj)
	case hasOption(obj.GetAnnotations(), "Replace=true"):
		became, err = a.replace(ctx, r, res, obj)
	default:
		became, err = a.applyPlain(ctx, r, res, obj)
		if apierrors.IsInvalid(err) {
			became, err = a.recreate(ctx, r, res, obj, err)
		}
	}
	if err != nil {
		return err
	}
	r.note(RefOf(obj), became, heard)
	if t.hook {
		r.noteHook(t, obj)
	}
	return nil
}

// applyPlain is a server-side apply that says what it changed. The answer tells a created object from one that was there; a
// configured one from an unchanged one only tells the resource version from before, which is read where a former run may have
// left the object.
func (a *Applier) applyPlain(ctx context.Context, r *run, res resource, obj *unstructured.Unstructured) (outcome, error) {
	before := ""
	if r.previous[RefOf(obj).identity()] {
		live, err := a.client.metadata(ctx, res, obj.GetNamespace(), obj.GetName())
		if err != nil && !apierrors.IsNotFound(err) {
			return 0, err
		}
		if err == nil {
			before = live.ResourceVersion
		}
	}
	after, isNew, err := a.client.apply(ctx, res, obj)
	switch {
	case err != nil:
		return 0, err
	case isNew:
		return created, nil
	case after.ResourceVersion == before:
		return unchanged, nil
	}
	return configured, nil
}

// replace honours the sync option Replace=true: the object takes the place of the live one, with Force=true by deleting that
// first. Namespaces and CRDs are never deleted for it, since all they hold would go with them.
func (a *Applier) replace(ctx context.Context, r *run, res resource, obj *unstructured.Unstructured) (outcome, error) {
	live, err := a.client.metadata(ctx, res, obj.GetNamespace(), obj.GetName())
	if apierrors.IsNotFound(err) {
		_, err = a.client.create(ctx, res, obj)
		return created, err
	}
	if err != nil {
		return 0, err
	}
	if hasOption(obj.GetAnnotations(), "Force=true") && !isCRD(obj) && !isNamespace(obj) {
		if err := a.remove(ctx, res, live, RefOf(obj), r.options.Progress); err != nil {
			return 0, err
		}
		_, err = a.client.create(ctx, res, obj)
		return configured, err
	}
	after, err := a.client.replace(ctx, res, obj, live.ResourceVersion)
	if err == nil && after.ResourceVersion == live.ResourceVersion {
		return unchanged, nil
	}
	return configured, err
}

// annotationSimulated marks an object that stands in for a real one, or belongs to a component that does.
const annotationSimulated = "idp.dev/simulated"

// recreate makes place for an object that the cluster refuses to turn the live one into. That is right for two kinds of
// objects of our own: a Job, which is made to run once as it is, and a stand-in, which makes place for what it stands for and
// the other way round. Everything else keeps the server's refusal.
func (a *Applier) recreate(ctx context.Context, r *run, res resource, obj *unstructured.Unstructured, refusal error) (outcome, error) {
	live, err := a.client.metadata(ctx, res, obj.GetNamespace(), obj.GetName())
	if err != nil || !mayRecreate(live, obj, refusal) {
		return 0, refusal
	}
	if err := a.remove(ctx, res, live, RefOf(obj), r.options.Progress); err != nil {
		return 0, err
	}
	_, _, err = a.client.apply(ctx, res, obj)
	return configured, err
}

func mayRecreate(live *metav1.PartialObjectMetadata, obj *unstructured.Unstructured, refusal error) bool {
	if owner := trackedBy(obj.GetAnnotations()); owner == "" || owner != trackedBy(live.Annotations) {
		return false
	}
	_, was := live.Annotations[annotationSimulated]
	_, willBe := obj.GetAnnotations()[annotationSimulated]
	switch obj.GetKind() {
	case "CustomResourceDefinition", "Namespace", "PersistentVolumeClaim", "PersistentVolume":
		return false // what they hold would go with them
	case "Job":
		return was || willBe || strings.Contains(refusal.Error(), "immutable")
	}
	return was || willBe
}

// remove deletes an object and waits until it is gone.
func (a *Applier) remove(ctx context.Context, res resource, live *metav1.PartialObjectMetadata, ref ObjectRef, say func(string)) error {
	err := a.client.delete(ctx, res, live.Namespace, live.Name, live.UID, metav1.DeletePropagationBackground)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.gone(ctx, res, ref, live, say)
}

// gone waits until the object with the UID of live is no longer there.
func (a *Applier) gone(ctx context.Context, res resource, ref ObjectRef, live *metav1.PartialObjectMetadata, say func(string)) error {
	w := waiting{what: "the deletion of " + ref.String(), object: ref, say: say, advice: goneAdvice(ref)}
	return a.until(ctx, w, func(ctx context.Context) (string, error) {
		now, err := a.client.metadata(ctx, res, live.Namespace, live.Name)
		if apierrors.IsNotFound(err) || err == nil && now.UID != live.UID {
			return "", nil
		}
		return "still there", err
	})
}

func goneAdvice(ref ObjectRef) string {
	return "if a finalizer holds it whose controller is gone, take the finalizer off; look at it: " + describe(ref)
}

// placed is the object with the namespace that it goes to: the component's where a namespaced object says none, none where
// the kind has no namespaces. The caller's object stays as it is.
func placed(obj *unstructured.Unstructured, res resource, namespace string) *unstructured.Unstructured {
	want := obj.GetNamespace()
	switch {
	case !res.Namespaced:
		want = ""
	case want == "":
		want = namespace
	}
	if want == obj.GetNamespace() {
		return obj
	}
	copied := &unstructured.Unstructured{Object: maps.Clone(obj.Object)}
	metadata, _ := obj.Object["metadata"].(map[string]any)
	copied.Object["metadata"] = maps.Clone(metadata)
	copied.SetNamespace(want)
	return copied
}

// note counts an object once, also where it is a hook of several phases.
func (r *run) note(ref ObjectRef, became outcome, heard *warnings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range heard.texts {
		r.result.Warnings = append(r.result.Warnings, Warning{Object: ref, Text: text})
	}
	if _, again := r.hooks[ref]; again {
		return
	}
	switch became {
	case created:
		r.result.Created = append(r.result.Created, ref)
	case configured:
		r.result.Configured = append(r.result.Configured, ref)
	case unchanged:
		r.result.Unchanged = append(r.result.Unchanged, ref)
	}
}

func (r *run) noteFault() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faulty = true
}

func (r *run) grace() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.faulty {
		return graceAfterFault
	}
	return grace
}
