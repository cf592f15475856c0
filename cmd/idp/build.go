package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/cluster/embedded"
	"github.com/idp-blueprint/idp/internal/ui"
	"github.com/spf13/cobra"
)

// newBuild is hidden since up builds by itself; it is for CI and for those who want the wait at another time.
func newBuild(s streams, o *options) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use: "build", Hidden: true,
		Short: "Build the embedded control plane ahead of the first up, and print where it is",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			root, err := o.root()
			if err != nil {
				return err
			}
			cache, err := cacheDir()
			if err != nil {
				return err
			}
			spec := embedded.Spec{CacheDir: cache, ModuleDir: filepath.Join(root, "embedded")}
			if check {
				path, err := embedded.Program(spec)
				if err == nil {
					fmt.Fprintln(s.out, path)
				}
				return err
			}
			started, view := time.Now(), newView(s, o)
			path, err := embedded.Build(cmd.Context(), spec, func(p cluster.Progress) {
				e := event(ui.PhaseBuild, "", ui.StateRunning, p.Message, time.Since(started))
				e.Done, e.Total = p.Done, p.Total
				view.Show(e)
			})
			view.Close()
			if err == nil {
				fmt.Fprintln(s.out, path)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "build nothing; fail where it isn't built")
	return cmd
}
