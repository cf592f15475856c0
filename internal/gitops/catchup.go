package gitops

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// CatchUp waits until those of the named Applications that exist are compared with the revision. Whoever applies a commit's
// objects before that works against Argo CD, which puts back and prunes by the commit that it knows. It writes nothing where
// they are there already, or where there is no Argo CD yet.
func (a *ArgoCD) CatchUp(ctx context.Context, names []string, revision string) error {
	behind, err := a.behind(ctx, names, revision)
	if err != nil || len(behind) == 0 {
		return err
	}
	if err := a.Refresh(ctx); err != nil {
		return err
	}
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("commit %.12s was not looked at by Argo CD for %s: %w", revision, strings.Join(behind, ", "), context.Cause(ctx))
		case <-ticker.C:
		}
		now, err := a.behind(ctx, names, revision)
		if err == nil && len(now) == 0 {
			return nil
		}
		if err == nil {
			behind = now
		}
	}
}

func (a *ArgoCD) behind(ctx context.Context, names []string, revision string) ([]string, error) {
	apps, err := a.Applications(ctx)
	if apierrors.IsNotFound(err) {
		return nil, nil // the kind itself: no Argo CD yet
	}
	var behind []string
	for _, app := range apps {
		if slices.Contains(names, app.Name) && app.Revision != revision {
			behind = append(behind, app.Name)
		}
	}
	return behind, err
}
