package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/idp-blueprint/idp/internal/plan"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/spf13/cobra"
)

func newLayersPlan(s streams, o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan DIR",
		Short: "Render the platform into an empty folder: what each layer is brought up from, and what Argo CD reads",
		Long: `plan writes plan.json (nodes, layers, needs, keys), layers/<name>.json (all that bringing a layer up takes), objects.json,
definitions.json and staged/ (what Argo CD reads, charts included). A layer's file changes only when the layer or one that it needs does.`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return writePlan(cmd.Context(), s, o, args[0])
		},
	}
	o.bindGit(cmd.Flags())
	return cmd
}

func writePlan(ctx context.Context, s streams, o *options, dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return usagef("%s is not empty: a plan needs a folder of its own", dir)
	}
	view := newView(s, o)
	defer view.Close()
	prep, err := prepare(ctx, o, view.Show)
	if err != nil {
		return err
	}
	defer prep.close()
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	definitions, err := stackDefinitions(ctx, prep, cache)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	index := plan.Index{
		Cluster: plan.Cluster{
			Kubernetes: prep.platform.Config.Kubernetes.Version,
			Nodes:      planNodes(prep.platform.Config.Cluster.Pools),
		},
		Applications: prep.applications(),
		Sources:      prep.sources,
	}
	if handOver, ok := prep.handOver(); ok {
		index.HandOver, index.Namespace = handOver.App, handOver.Namespace
	}
	if err := plan.Write(dir, index, prep.steps, definitions); err != nil {
		return fmt.Errorf("writing the plan: %w", err)
	}
	return os.CopyFS(filepath.Join(dir, plan.StagedFolder), os.DirFS(prep.staged))
}

// planNodes are the nodes of the pools, under the names that every provider gives them.
func planNodes(pools []platform.Pool) []plan.Node {
	var all []plan.Node
	for _, node := range nodes(pools) {
		planned := plan.Node{Name: node.Name, Pool: node.Pool, CPU: node.CPU, Memory: node.Memory, Labels: node.Labels}
		for _, t := range node.Taints {
			planned.Taints = append(planned.Taints, plan.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
		}
		all = append(all, planned)
	}
	return all
}

// readPlan reads a plan's index.
func readPlan(dir string) (plan.Index, error) {
	index, err := plan.ReadIndex(dir)
	return index, asUsage(err)
}

// asUsage says that a file which isn't a plan's is a mistake of who named it.
func asUsage(err error) error {
	if errors.Is(err, plan.ErrNotPlan) {
		return usageError{err}
	}
	return err
}
