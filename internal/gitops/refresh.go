package gitops

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

const (
	refreshAnnotation    = "argocd.argoproj.io/refresh"
	refreshSetAnnotation = "argocd.argoproj.io/application-set-refresh"
)

// Refresh asks Argo CD to look at Git again now, as its webhook would, in place of at its next poll.
func (a *ArgoCD) Refresh(ctx context.Context) error {
	return errors.Join(
		annotateAll(ctx, a.applicationSets(), fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}}}`, refreshSetAnnotation)),
		annotateAll(ctx, a.applications(), fmt.Sprintf(`{"metadata":{"annotations":{%q:"normal"}}}`, refreshAnnotation)),
	)
}

func annotateAll(ctx context.Context, objects dynamic.ResourceInterface, patch string) error {
	list, err := objects.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("asking Argo CD for a refresh: %w", err)
	}
	// Side by side: on a cluster that has just started each kind's first write takes seconds.
	group, ctx := errgroup.WithContext(ctx)
	for _, item := range list.Items {
		group.Go(func() error {
			_, err := objects.Patch(ctx, item.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			if err != nil && !apierrors.IsNotFound(err) { // gone meanwhile: nothing to refresh
				return fmt.Errorf("asking Argo CD to refresh %s: %w", item.GetName(), err)
			}
			return nil
		})
	}
	return group.Wait()
}
