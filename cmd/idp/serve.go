package main

import (
	"context"
	"fmt"
	"net"

	"github.com/idp-blueprint/idp/internal/forward"
	"github.com/spf13/cobra"
)

func newServe(s streams, o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run in the foreground what other containers reach by name: a cluster, a Git repository, a way to both",
		Long: `serve is for containers: each of its commands runs until it is told to stop, and listens on every address unless --listen says one.
On your own machine use up, which listens on the loopback address alone.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newServeCluster(s, o), newServeGit(s, o), newServeForward(s, o))
	return cmd
}

// listenAt listens for a serve command.
func listenAt(ctx context.Context, address string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, usagef("address %q: use host:port, or :port for every address", address)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return listener, nil
}

// forwardFrom passes on what comes to an address, until the context ends.
func forwardFrom(ctx context.Context, address string, target func() string) error {
	listener, err := listenAt(ctx, address)
	if err != nil {
		return err
	}
	return forward.Serve(ctx, listener, target)
}
