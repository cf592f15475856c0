package main

import (
	"encoding/json"
	"fmt"

	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/spf13/cobra"
)

func newCharts(s streams, o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "charts",
		Short: "Look after the cache of upstream charts",
		Long: `Components depend on upstream charts. They are looked for in the cache, then at their repositories; only on the embedded
cluster, a stand-in made from the component's inventory takes the place of one that can't be had, and is named so everywhere.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no %q: use idp charts list, import or pull", "charts "+args[0])
			}
			return cmd.Help()
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "List the charts that the cache holds", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			return withCharts(o, func(r *chart.Resolver) ([]chart.Entry, error) { return r.List() }, s)
		},
	}
	imports := &cobra.Command{
		Use: "import FILE.tgz…", Short: "Put chart archives into the cache by hand",
		Long:    "import fills the cache on a machine that can't reach the charts' repositories. A chart that its component's inventory describes otherwise is refused when it is used.",
		Example: "  idp charts import cilium-1.20.0.tgz argo-cd-10.1.1.tgz",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name at least one archive\nsee: %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return withCharts(o, func(r *chart.Resolver) ([]chart.Entry, error) { return r.Import(args...) }, s)
		},
	}
	pull := &cobra.Command{
		Use: "pull [COMPONENT…]", Short: "Download the charts of the checkout's components into the cache",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := load(o)
			if err != nil {
				return err
			}
			chosen, err := choose(p, args)
			if err != nil {
				return err
			}
			return withCharts(o, func(r *chart.Resolver) ([]chart.Entry, error) { return r.Pull(cmd.Context(), p.Root, chosen...) }, s)
		},
	}
	cmd.AddCommand(list, imports, pull)
	return cmd
}

// withCharts runs one operation on the cache and prints the archives that it names, those before a failure included.
func withCharts(o *options, do func(*chart.Resolver) ([]chart.Entry, error), s streams) error {
	if err := o.validate(); err != nil {
		return err
	}
	cache, err := cacheDir()
	if err != nil {
		return err
	}
	entries, failed := do(newResolver(o, cache))
	if o.output == "json" {
		if entries == nil {
			entries = []chart.Entry{}
		}
		if err := json.NewEncoder(s.out).Encode(entries); err != nil {
			return err
		}
		return failed
	}
	if len(entries) == 0 && failed == nil {
		fmt.Fprintln(s.err, "no charts; fill the cache with: idp charts pull, or: idp charts import FILE.tgz…")
		return nil
	}
	table(s.out, "CHART\tVERSION\tSHA256\tKIB", func(row func(string, ...any)) {
		for _, e := range entries {
			row("%s\t%s\t%.12s\t%d", e.Name, e.Version, e.SHA256, e.Size>>10)
		}
	})
	return failed
}
