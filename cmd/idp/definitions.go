package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/ui"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// definitionsBound is how long the API server may take to serve the stacks' definitions.
const definitionsBound = 5 * time.Minute

// createDefinitions makes the CustomResourceDefinitions of the stacks that aren't there yet, before Argo CD works on the commit.
// They are the very objects that Argo CD renders and owns from then on. Argo CD loads the API server's whole schema anew for every
// definition that comes or changes, with its picture of the cluster locked: sixty of them that come while it works keep it from
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
	var requests []componentRequest
	for _, c := range prep.platform.Components() {
		if c.Stack != "" {
			requests = append(requests, componentRequest{c, renderRequest(prep.platform, c, prep.staged)})
		}
	}
	rendered, err := renderAll(ctx, requests, cache)
	if err != nil {
		return nil, err
	}
	var definitions []*unstructured.Unstructured
	for _, o := range slices.Concat(rendered...) {
		if o.GetKind() == "CustomResourceDefinition" {
			definitions = append(definitions, o)
		}
	}
	return definitions, nil
}
