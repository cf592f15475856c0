package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
	"github.com/idp-blueprint/idp/internal/ui"
	"github.com/spf13/cobra"
)

func newRender(s streams, o *options) *cobra.Command {
	var staged, perComponent string
	cmd := &cobra.Command{
		Use:   "render [COMPONENT…]",
		Short: "Print what bootstrap applies and Argo CD renders: the same objects, byte for byte",
		Long: `render prints the components' objects as YAML. A component is named by its folder (K8s/observability/loki), by its
Application (observability-loki) or by its layer (cilium); with none, all are printed, layers first.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			prep, err := prepare(cmd.Context(), o, func(ui.Event) {})
			if err != nil {
				return err
			}
			defer prep.close()
			if staged != "" {
				return os.CopyFS(staged, os.DirFS(prep.staged))
			}
			chosen, err := choose(prep.platform, args)
			if err != nil {
				return err
			}
			cache, err := cacheDir()
			if err != nil {
				return err
			}
			renderer := render.Cached(filepath.Join(cache, "render"))
			for _, c := range chosen {
				request := renderRequest(prep.platform, c, prep.staged)
				if handOver, ok := prep.handOver(); ok && handOver.App == c.App {
					request.Parameters = o.parameters()
				}
				objects, err := renderer.Render(cmd.Context(), request)
				if err != nil {
					return asInput(c, err)
				}
				if source := prep.sources[c.App]; source == "inventory" {
					fmt.Fprintf(s.err, "idp: %s: simulated from its inventory; the real chart is not in the cache and can't be reached\n", c.Path)
				}
				if err := writeRendered(s.out, perComponent, c, render.Bytes(objects)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	o.bindGit(cmd.Flags())
	cmd.Flags().StringVar(&perComponent, "per-component", "", "write a file for each component to this folder in place of printing objects")
	cmd.Flags().StringVar(&staged, "staged", "", "write what Argo CD would read, charts included, to this folder in place of printing objects")
	return cmd
}

// writeRendered prints a component's objects or, with a folder, writes them to a file there that is named after its Application.
func writeRendered(w io.Writer, folder string, c platform.Component, content []byte) error {
	if folder == "" {
		_, err := w.Write(content)
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, c.App+".yaml"), content, 0o644)
}

// loadChosen reads the checkout for a verb that needs no cluster, and finds the components that the arguments name. formats are the
// verb's own, beside those of all.
func loadChosen(o *options, names []string, formats ...string) (*platform.Platform, []platform.Component, error) {
	if err := o.validate(formats...); err != nil {
		return nil, nil, err
	}
	p, err := load(o)
	if err != nil {
		return nil, nil, err
	}
	chosen, err := choose(p, names)
	return p, chosen, err
}

// choose finds the components that the arguments name; no argument means all.
func choose(p *platform.Platform, names []string) ([]platform.Component, error) {
	all := p.Components()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []platform.Component
	var unknown []error
	for _, name := range names {
		c, ok := find(all, name)
		if !ok {
			unknown = append(unknown, usagef("there is no component %q%s", name, didYouMean(name, all)))
			continue
		}
		chosen = append(chosen, c)
	}
	return chosen, errors.Join(unknown...)
}

func find(all []platform.Component, name string) (platform.Component, bool) {
	path := filepath.ToSlash(filepath.Clean(name))
	for _, c := range all {
		if c.App == name || c.Path == path {
			return c, true
		}
	}
	return platform.Component{}, false
}

func didYouMean(name string, all []platform.Component) string {
	var names []string
	for _, c := range all {
		names = append(names, c.App, c.Path)
	}
	if near := platform.Nearest(name, names); near != "" {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ""
}
