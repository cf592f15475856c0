package main

import (
	"errors"
	"fmt"
	"path"

	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/spf13/cobra"
)

func newLock(s streams, o *options) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "lock [COMPONENT…]",
		Short: "Render components from their real charts and write their inventory.yaml",
		Long: `lock records the facts of a component's real render: where the chart came from and its digests, images, workloads, Services,
CRDs. It never uses a stand-in. With --check it writes nothing and fails where an inventory is stale.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, chosen, err := loadChosen(o, args)
			if err != nil {
				return err
			}
			cache, err := cacheDir()
			if err != nil {
				return err
			}
			resolver := newResolver(o, cache)
			var failed []error
			for _, c := range chosen {
				inventory, err := resolver.Lock(cmd.Context(), p, c)
				if err == nil {
					err = keep(s, p.Root, c, inventory, check)
				}
				failed = append(failed, err)
			}
			return errors.Join(failed...)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; fail where an inventory is stale")
	return cmd
}

// keep writes the inventory where it differs from the one that is there, or with check only says so.
func keep(s streams, root string, c platform.Component, inventory chart.Inventory, check bool) error {
	if check {
		return chart.CheckInventory(root, c, inventory)
	}
	changed, err := chart.WriteInventory(root, c, inventory)
	if changed {
		fmt.Fprintf(s.err, "✓ %s written\n", path.Join(c.Path, chart.InventoryFile))
	}
	return err
}
