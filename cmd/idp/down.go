package main

import (
	"context"
	"fmt"

	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/ui"
	"github.com/spf13/cobra"
)

func newDown(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Remove a cluster: its processes and its files",
		Long: `down ends the cluster's processes and removes its folder, in whatever state a crash left them. Caches (charts, snapshots, the built
control plane) stay: the next up is quick. It works without a checkout.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if o.cluster == "existing" {
				return usagef("down removes clusters that idp made; context %q is not one of them, so nothing was done", o.context)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), o.timeout)
			defer cancel()
			provider, err := newProvider(o, s, nil, nil)
			if err != nil {
				return err
			}
			view := newView(s, o)
			err = provider.Down(ctx, func(p cluster.Progress) {
				view.Show(event(ui.PhaseCluster, "", ui.StateRunning, p.Message, 0))
			})
			if err == nil {
				view.Show(event(ui.PhaseCluster, "", ui.StateDone, fmt.Sprintf("%s is gone", o.name), 0))
			}
			view.Close()
			return err
		},
	}
}
