package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/plan"
	"github.com/spf13/cobra"
)

// stateBound is how long a look at a cluster may take.
const stateBound = 2 * time.Minute

// clusterState is what layers state prints.
type clusterState struct {
	Cluster clusterReport        `json:"cluster"`
	Layers  []bootstrap.Standing `json:"layers"`
}

func newLayersState(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "state DIR",
		Short: "Say which layers of a plan the cluster has; prints JSON and writes nothing",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if _, err := readPlan(args[0]); err != nil {
				return err
			}
			steps, err := plan.ReadSteps(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), min(o.timeout, stateBound),
				fmt.Errorf("the cluster did not answer within %s: %w", min(o.timeout, stateBound), context.DeadlineExceeded))
			defer cancel()
			access, runner, err := awaitCluster(ctx, s, o)
			if err != nil {
				return err
			}
			standings, err := runner.Stand(ctx, steps)
			if err != nil {
				return err
			}
			return json.NewEncoder(s.out).Encode(clusterState{Cluster: newClusterReport(access.Info), Layers: standings})
		},
	}
}

// lookAgain is how long awaitCluster waits between two looks.
const lookAgain = time.Second

// awaitCluster attaches to a cluster that may be on its way up: an open port is no API server yet.
func awaitCluster(ctx context.Context, s streams, o *options) (*cluster.Access, *bootstrap.Runner, error) {
	for {
		access, runner, err := attach(ctx, s, o)
		if err == nil {
			return access, runner, nil
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w; the last answer: %w", context.Cause(ctx), err)
		}
	}
}

// attach reaches the running cluster that the flags name, and makes what brings layers up on it.
func attach(ctx context.Context, s streams, o *options) (*cluster.Access, *bootstrap.Runner, error) {
	provider, err := newProvider(o, s, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	access, err := provider.Access(ctx)
	if err != nil {
		return nil, nil, err
	}
	applier, err := apply.New(access.Config)
	if err != nil {
		return nil, nil, err
	}
	records, err := bootstrap.NewRecords(access.Config)
	if err != nil {
		return nil, nil, err
	}
	return access, &bootstrap.Runner{Applier: applier, Records: records, Seeder: seeder{access}}, nil
}
