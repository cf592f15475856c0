package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/spf13/cobra"
)

func newImages(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "images [COMPONENT…]",
		Short: "List the images that the platform runs, for a mirror; from the inventories, so no chart is needed",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			p, chosen, err := loadChosen(o, args)
			if err != nil {
				return err
			}
			images, err := imagesOf(p.Root, chosen)
			if err != nil {
				return err
			}
			if o.output == "json" {
				return json.NewEncoder(s.out).Encode(images)
			}
			for _, image := range images {
				fmt.Fprintln(s.out, image)
			}
			return nil
		},
	}
}

// imagesOf are the images of the components' inventories, sorted, each once.
func imagesOf(root string, components []platform.Component) ([]string, error) {
	found := map[string]bool{}
	for _, c := range components {
		inventory, err := chart.ReadInventory(root, c.Path)
		if err != nil {
			return nil, err
		}
		for _, ch := range inventory.Charts {
			for _, image := range ch.Images {
				found[image] = true
			}
		}
	}
	images := slices.AppendSeq([]string{}, maps.Keys(found)) // never null
	slices.Sort(images)
	return images, nil
}
