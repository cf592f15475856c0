package apply

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Missing are the objects that should be in the cluster and aren't, sorted. Hooks and Jobs don't count: they come and go.
func (a *Applier) Missing(ctx context.Context, objs []*unstructured.Unstructured, namespace string) ([]ObjectRef, error) {
	var lasting []*unstructured.Unstructured
	for _, obj := range objs {
		if !isHook(obj) && obj.GetKind() != "Job" {
			lasting = append(lasting, obj)
		}
	}
	refs, err := a.Refs(ctx, lasting, namespace)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var missing []ObjectRef
	var looks []func() error
	for _, ref := range refs {
		looks = append(looks, func() error {
			found, err := a.look(ctx, ref)
			if err == nil && found == nil {
				mu.Lock()
				defer mu.Unlock()
				missing = append(missing, ref)
			}
			return err
		})
	}
	err = together(looks)
	sortRefs(missing)
	return missing, err
}
