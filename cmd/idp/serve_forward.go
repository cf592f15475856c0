package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func newServeForward(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:     "forward LISTEN=HOST:PORT…",
		Short:   "Pass connections on to other containers, so that one of them can be reached for all",
		Example: "  idp serve forward :443=demo-server:443 :6443=demo-server:6443",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			ways := map[string]string{}
			for _, arg := range args {
				listen, target, ok := strings.Cut(arg, "=")
				if !ok {
					return usagef("%q: use LISTEN=HOST:PORT, such as :443=demo-server:443", arg)
				}
				ways[listen] = target
			}
			group, ctx := errgroup.WithContext(cmd.Context())
			for listen, target := range ways {
				group.Go(func() error { return forwardFrom(ctx, listen, func() string { return target }) })
				fmt.Fprintf(s.err, "✓ %s → %s\n", listen, target)
			}
			return group.Wait()
		},
	}
}
