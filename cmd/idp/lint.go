package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/lint"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
	"github.com/spf13/cobra"
)

const formatSARIF = "sarif"

func newLint(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "lint [COMPONENT…]",
		Short: "Check what the components render, each object for itself and all of them together",
		Long: `lint renders every component and checks the objects: against the rules that each must keep, against one another, the nodes of
platform.yaml, the order of the layers and the secrets that are seeded. With arguments it shows the findings of those components only.

It exits with 0 where nothing is found, with 1 where something is, with 2 where the input can't be rendered. -o sarif is for code
hosts. An exception is an entry, with its reason, in ` + platform.ExceptionsFile + ` beside the component's Chart.yaml:

  - {rule: host-access, object: DaemonSet/node-exporter, reason: it reads the host's /proc, expires: 2027-01-31}`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			p, chosen, err := loadChosen(o, args, formatSARIF)
			if err != nil {
				return err
			}
			l, err := newLinter(cmd.Context(), o, p)
			if err != nil {
				return err
			}
			defer os.RemoveAll(l.staged)
			found, err := l.run(cmd.Context(), chosen)
			if err != nil {
				return err
			}
			for _, c := range chosen {
				if l.sources[c.App] == string(chart.FromInventory) {
					fmt.Fprintf(s.err, "idp: %s: simulated from its inventory; what that doesn't record (probes, rules) isn't checked\n", c.Path)
				}
			}
			if err := writeFindings(s, o.output, found); err != nil {
				return err
			}
			if len(found) > 0 {
				return fmt.Errorf("lint: %s", plural(len(found), "finding"))
			}
			return nil
		},
	}
}

// linter is a checkout that is staged to be rendered.
type linter struct {
	platform *platform.Platform
	staged   string
	cache    string
	sources  map[string]string
	values   []*platform.InputError // keys that no chart knows
}

func newLinter(ctx context.Context, o *options, p *platform.Platform) (*linter, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	staged, err := stagingFolder(cache)
	if err != nil {
		return nil, err
	}
	l := &linter{platform: p, staged: staged, cache: cache}
	if l.sources, err = gitops.Stage(ctx, p, collector{l, newResolver(o, cache)}, staged); err != nil {
		_ = os.RemoveAll(staged)
		return nil, err
	}
	return l, nil
}

// collector vendors charts, and keeps for the findings which keys of the values files no chart knows.
type collector struct {
	linter   *linter
	resolver *chart.Resolver
}

// Vendor puts the component's charts into dest.
func (c collector) Vendor(ctx context.Context, component platform.Component, dest string) (string, error) {
	source, err := c.resolver.Vendor(ctx, c.linter.platform.Root, component, dest)
	if err != nil {
		return "", err
	}
	unknown, err := inputErrors(c.resolver.CheckValues(ctx, c.linter.platform.Root, component))
	c.linter.values = append(c.linter.values, unknown...)
	return string(source), err
}

// inputErrors takes a joined error apart; the error is what isn't an *platform.InputError.
func inputErrors(err error) ([]*platform.InputError, error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []*platform.InputError
		var rest []error
		for _, one := range joined.Unwrap() {
			its, err := inputErrors(one)
			list, rest = append(list, its...), append(rest, err)
		}
		return list, errors.Join(rest...)
	}
	var input *platform.InputError
	if errors.As(err, &input) {
		return []*platform.InputError{input}, nil
	}
	return nil, err
}

// run checks everything and gives the findings of the chosen components.
func (l *linter) run(ctx context.Context, chosen []platform.Component) ([]lint.Finding, error) {
	in, err := l.input(ctx)
	if err != nil {
		return nil, err
	}
	wanted := map[string]platform.Component{}
	for _, c := range chosen {
		wanted[c.App] = c
	}
	var found []lint.Finding
	for _, f := range lint.Run(in) {
		if _, ok := wanted[f.Component]; ok {
			found = append(found, f)
		}
	}
	return found, l.locate(ctx, found, wanted)
}

func (l *linter) input(ctx context.Context) (lint.Input, error) {
	in := lint.Input{Platform: l.platform, Values: l.values, Today: time.Now()}
	checkout := os.DirFS(l.platform.Root)
	var failed []error
	for _, c := range l.platform.Components() {
		exceptions, err := platform.ReadExceptions(checkout, c)
		in.Exceptions, failed = append(in.Exceptions, exceptions...), append(failed, err)
	}
	secrets, err := lint.ReadSecrets(checkout)
	if err == nil {
		in.Secrets = secrets
	} else if !errors.Is(err, fs.ErrNotExist) {
		failed = append(failed, err)
	}
	rendered, err := l.render(ctx)
	in.Components, failed = rendered, append(failed, err)
	err = errors.Join(failed...)
	if err != nil {
		// A key that no chart knows is often why a render fails.
		for _, unknown := range l.values {
			err = errors.Join(err, unknown)
		}
	}
	return in, err
}

func (l *linter) render(ctx context.Context) ([]lint.Component, error) {
	all := l.platform.Components()
	requests := make([]componentRequest, len(all))
	for i, c := range all {
		requests[i] = componentRequest{c, renderRequest(l.platform, c, l.staged)}
	}
	rendered, err := renderAll(ctx, requests, l.cache)
	components := make([]lint.Component, len(all))
	for i, c := range all {
		components[i] = lint.Component{Component: c, Objects: rendered[i]}
	}
	return components, err
}

// locate names the template where a finding's object is made by one of the component's own; what a chart makes is put right in the
// component's folder.
func (l *linter) locate(ctx context.Context, found []lint.Finding, components map[string]platform.Component) error {
	places := map[string]map[render.Place]string{}
	for i := range found {
		f := &found[i]
		if f.Object == (lint.Object{}) {
			continue
		}
		c := components[f.Component]
		its, ok := places[f.Component]
		if !ok {
			var err error
			if its, err = render.Locate(ctx, renderRequest(l.platform, c, l.staged)); err != nil {
				return asInput(c, err)
			}
			places[f.Component] = its
		}
		template := cmp.Or(its[render.Place{Kind: f.Object.Kind, Namespace: f.Object.Namespace, Name: f.Object.Name}],
			its[render.Place{Kind: f.Object.Kind, Name: f.Object.Name}])
		if template != "" && !strings.HasPrefix(template, "charts/") {
			f.File = path.Join(f.File, template)
		}
	}
	return nil
}

func writeFindings(s streams, format string, found []lint.Finding) error {
	switch format {
	case formatSARIF:
		return lint.WriteSARIF(s.out, found)
	case "json":
		encoder := json.NewEncoder(s.out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"findings": append([]lint.Finding{}, found...)})
	}
	for _, f := range found {
		if _, err := fmt.Fprintln(s.out, f); err != nil {
			return err
		}
	}
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
