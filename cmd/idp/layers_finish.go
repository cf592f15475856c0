package main

import (
	"context"
	"fmt"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/plan"
	"github.com/idp-blueprint/idp/internal/ui"
	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
)

func newLayersFinish(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "finish DIR",
		Short: "Remove the layers that a plan no longer has, and wait until Argo CD holds everything else",
		Long: `finish does what is left once every layer was applied: layers that the cluster has recorded and the plan no longer names are
removed; then it waits until every Application is Synced and Healthy, and prints the platform's state.`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout,
				fmt.Errorf("the platform was not finished within --timeout %s: %w", o.timeout, context.DeadlineExceeded))
			defer cancel()
			r, err := finish(ctx, s, o, args[0])
			if err != nil {
				return err
			}
			return r.print(s.out, o)
		},
	}
}

func finish(ctx context.Context, s streams, o *options, dir string) (*report, error) {
	index, err := readPlan(dir)
	if err != nil {
		return nil, err
	}
	steps, err := plan.ReadSteps(dir)
	if err != nil {
		return nil, err
	}
	staged := *o
	staged.source = dir + "/" + plan.StagedFolder
	p, err := load(&staged)
	if err != nil {
		return nil, err
	}
	access, runner, err := attach(ctx, s, o)
	if err != nil {
		return nil, err
	}
	view := ui.NewPlain(s.err)
	defer view.Close()
	runner.Emit = func(e bootstrap.Event) { view.Show(layerEvent(e)) }
	outcomes, err := runner.Run(ctx, steps)
	if err != nil {
		return nil, err
	}
	prep := &prepared{platform: p, sources: index.Sources, steps: steps}
	client, err := dynamic.NewForConfig(access.Config)
	if err != nil {
		return nil, err
	}
	apps, _, err := follow(ctx, client, prep, gitops.Commit{}, view.Show)
	if err != nil {
		return nil, err
	}
	provider, err := newProvider(o, s, nil, nil)
	if err != nil {
		return nil, err
	}
	// What is simulated shows only as the platform comes up.
	if access, err = provider.Access(ctx); err != nil {
		return nil, err
	}
	return newReport(ctx, access, provider, prep, outcomes, apps, 0)
}
