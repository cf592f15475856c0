package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
	"github.com/idp-blueprint/idp/internal/ui"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// definitionsBound is how long the API server may take to serve the stacks' definitions.
const definitionsBound = 5 * time.Minute

// createDefinitions makes the CustomResourceDefinitions of the stacks that aren't there yet, before Argo CD works on the commit. They are the very objects that Argo CD renders and owns from then on. Argo CD loads the API server's whole schema anew
// for every definition that comes or changes, with its picture of the cluster locked: sixty of them that come while it works keep it from
// seeing what it has just applied, for minutes. A resource that comes before its definition, and the retries that follow, are avoided too.
func createDefinitions(ctx context.Context, access *cluster.Access, prep *prepared, cache string, show func(ui.Event)) error {
	definitions, err := stackDefinitions(ctx, prep, cache)
	if err != nil {
		return err
	}
	return createMissing(ctx, access, definitions, show)
}

// createMissing makes the definitions that aren't there yet.
func createMissing(ctx context.Context, access *cluster.Access, definitions []*unstructured.Unstructured, show func(ui.Event)) error {
	if len(definitions) == 0 {
		return nil
	}
	started := time.Now()
	applier, err := apply.New(access.Config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, definitionsBound, fmt.Errorf("waited %s for the stacks' definitions: %w", definitionsBound, context.DeadlineExceeded))
	defer cancel()
	missing, err := applier.Missing(ctx, definitions, "")
	if err != nil || len(missing) == 0 {
		return err
	}
	wanted := map[string]bool{}
	for _, ref := range missing {
		wanted[ref.Name] = true
	}
	var create []*unstructured.Unstructured
	for _, d := range definitions {
		if wanted[d.GetName()] {
			create = append(create, d)
		}
	}
	if _, err := applier.Apply(ctx, create, apply.Options{Component: "K8s"}); err != nil {
		return fmt.Errorf("creating the stacks' definitions: %w", err)
	}
	show(event(ui.PhaseNote, "definitions", ui.StateDone, fmt.Sprintf("%d of the stacks, before Argo CD looks", len(create)), time.Since(started)))
	return nil
}

// stackDefinitions renders the stacks and picks the definitions.
func stackDefinitions(ctx context.Context, prep *prepared, cache string) ([]*unstructured.Unstructured, error) {
	renderer := render.Cached(filepath.Join(cache, "render"))
	var components []platform.Component
	for _, c := range prep.platform.Components() {
		if c.Stack != "" {
			components = append(components, c)
		}
	}
	found := make([][]*unstructured.Unstructured, len(components))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, c := range components {
		group.Go(func() error {
			objects, err := renderer.Render(ctx, renderRequest(prep.platform, c, prep.staged))
			for _, o := range objects {
				if o.GetKind() == "CustomResourceDefinition" {
					found[i] = append(found[i], o)
				}
			}
			return asInput(c, err)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, list := range found {
		all = append(all, list...)
	}
	return all, nil
}
