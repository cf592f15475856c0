package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Refs are the references of objects as they will be in the cluster, sorted: with namespace where the object says none and
// its kind has namespaces. Objects that get a name only in the cluster are left out.
func (a *Applier) Refs(ctx context.Context, objs []*unstructured.Unstructured, namespace string) ([]ObjectRef, error) {
	own := map[schema.GroupVersionKind]resource{}
	for _, obj := range objs {
		if isCRD(obj) {
			for gvk, r := range servedBy(obj) {
				own[gvk] = r
			}
		}
	}
	var refs []ObjectRef
	for _, obj := range objs {
		if obj.GetName() == "" || len(tasksOf(obj)) == 0 {
			continue
		}
		gvk := obj.GroupVersionKind()
		res, known := own[gvk]
		if !known {
			var err error
			if res, err = a.scope(ctx, gvk); err != nil {
				return nil, err
			}
		}
		refs = append(refs, RefOf(placed(obj, res, namespace)))
	}
	sortRefs(refs)
	return slices.Compact(refs), nil
}

// scope is the resource of a kind. One that the server doesn't serve yet is taken to have namespaces; see Prune, which looks
// again.
func (a *Applier) scope(ctx context.Context, gvk schema.GroupVersionKind) (resource, error) {
	res := resource{Namespaced: true}
	w := waiting{what: "the cluster to tell its kinds", say: func(string) {}}
	err := a.until(ctx, w, func(ctx context.Context) (string, error) {
		found, err := a.kinds.find(ctx, gvk)
		if err == nil {
			res = found
		}
		if meta.IsNoMatchError(err) {
			err = nil
		}
		return "", err
	})
	return res, err
}

// target is an object to delete.
type target struct {
	ref  ObjectRef
	res  resource
	live *metav1.PartialObjectMetadata
}

// Prune deletes the objects of previous that aren't in current, waits until they are gone and returns them. An object stays
// where its tracking id doesn't name the Application it was recorded with (someone else has it now), and where its sync
// options say Prune=false or its Helm resource policy keep. Webhooks go first, so that they can't refuse what follows, then
// custom resources while their controllers still run, workloads, the rest, CRDs, and namespaces last. A kind of objects that
// can't be deleted keeps what comes after it.
func (a *Applier) Prune(ctx context.Context, previous, current []ObjectRef) ([]ObjectRef, error) {
	orphans, err := a.orphans(ctx, previous, current)
	if err != nil {
		return nil, err
	}
	var pruned []ObjectRef
	for _, group := range inReverse(orphans) {
		gone, err := a.pruneGroup(ctx, group)
		pruned = append(pruned, gone...)
		if err != nil {
			return pruned, err
		}
	}
	sortRefs(pruned)
	return pruned, nil
}

// orphans are previous without current, compared by what they are in the cluster.
func (a *Applier) orphans(ctx context.Context, previous, current []ObjectRef) ([]ObjectRef, error) {
	kept := map[ObjectRef]bool{}
	for _, ref := range current {
		scoped, err := a.scoped(ctx, ref)
		if err != nil {
			return nil, err
		}
		kept[scoped.identity()] = true
	}
	var orphans []ObjectRef
	for _, ref := range previous {
		scoped, err := a.scoped(ctx, ref)
		if err != nil {
			return nil, err
		}
		if !kept[scoped.identity()] {
			orphans = append(orphans, scoped)
		}
	}
	return orphans, nil
}

// scoped is the reference without a namespace where its kind has none.
func (a *Applier) scoped(ctx context.Context, ref ObjectRef) (ObjectRef, error) {
	res, err := a.scope(ctx, ref.GroupKind().WithVersion(""))
	if err == nil && !res.Namespaced {
		ref.Namespace = ""
	}
	return ref, err
}

// inReverse groups references by rank, the last rank first.
func inReverse(refs []ObjectRef) [][]ObjectRef {
	order := []int{rankWebhook, rankCustom, rankWorkload, rankSupport, rankDefinition, rankNamespace}
	groups := make([][]ObjectRef, len(order))
	for _, ref := range refs {
		at := slices.Index(order, rankOf(ref.Group, ref.Kind))
		groups[at] = append(groups[at], ref)
	}
	return groups
}

// pruneGroup deletes objects side by side, then waits for the end of them all.
func (a *Applier) pruneGroup(ctx context.Context, refs []ObjectRef) ([]ObjectRef, error) {
	var mu sync.Mutex
	var gone []ObjectRef
	var deletions []func() error
	for _, ref := range refs {
		deletions = append(deletions, func() error {
			deleted, err := a.pruneOne(ctx, ref)
			if deleted {
				mu.Lock()
				defer mu.Unlock()
				gone = append(gone, ref)
			}
			return err
		})
	}
	err := together(deletions)
	return gone, err
}

func (a *Applier) pruneOne(ctx context.Context, ref ObjectRef) (deleted bool, err error) {
	found, err := a.look(ctx, ref)
	if err != nil || found == nil || !mayPrune(ref, found.live) {
		return false, err
	}
	w := waiting{what: "the cluster to delete " + ref.String(), object: ref, say: func(string) {}}
	refused := false
	err = a.until(ctx, w, func(ctx context.Context) (string, error) {
		err := a.client.delete(ctx, found.res, ref.Namespace, ref.Name, found.live.UID, propagation(ref))
		refused = apierrors.IsForbidden(err) && ref.Kind == "Namespace" // Kubernetes doesn't let go of its own namespaces
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || refused {
			err = nil // somebody else was quicker, or it is another object by now
		}
		return "", err
	})
	if err != nil && !ended(err) {
		return false, fmt.Errorf("deleting %s: %w", ref, err)
	}
	if err != nil || refused {
		return false, err
	}
	return true, a.gone(ctx, found.res, ref, found.live, w.say)
}

// propagation keeps a workload until its pods are gone, so that "gone" means it. Other objects have nothing to wait for.
func propagation(ref ObjectRef) metav1.DeletionPropagation {
	if isWorkload(ref.Kind) {
		return metav1.DeletePropagationForeground
	}
	return metav1.DeletePropagationBackground
}

// look finds an object in the cluster; nil where it isn't there.
func (a *Applier) look(ctx context.Context, ref ObjectRef) (*target, error) {
	var found *target
	w := waiting{what: "the cluster to show " + ref.String(), object: ref, say: func(string) {}}
	err := a.until(ctx, w, func(ctx context.Context) (string, error) {
		res, err := a.kinds.find(ctx, ref.GroupKind().WithVersion(""))
		if err != nil {
			return "", ignoreAbsent(err)
		}
		live, err := a.client.metadata(ctx, res, ref.Namespace, ref.Name)
		if err == nil {
			found = &target{ref: ref, res: res, live: live}
		}
		return "", ignoreAbsent(err)
	})
	if err != nil && !ended(err) {
		return nil, fmt.Errorf("looking for %s: %w", ref, err)
	}
	return found, err
}

func ignoreAbsent(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	var noMatch *meta.NoKindMatchError
	if errors.As(err, &noMatch) {
		return nil
	}
	return err
}

// mayPrune says whether a live object is still what was recorded, and lets itself be deleted.
func mayPrune(ref ObjectRef, live *metav1.PartialObjectMetadata) bool {
	return ref.App != "" && trackedBy(live.Annotations) == ref.App && !hasOption(live.Annotations, "Prune=false") &&
		live.Annotations[annotationHelmResourceKeep] != "keep"
}
