package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/spf13/cobra"
)

func newServeGit(s streams, o *options) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "git FOLDER",
		Short: "Serve a folder as the Git repository that Argo CD follows",
		Long: `git makes one commit of a folder, a plan's staged/ most likely, and serves it at http://<this host>/platform.git, read only, to
whoever reaches the port. The commit's name depends on the content alone.`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return serveGit(cmd.Context(), s, args[0], listen)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", ":8080", "address to listen on")
	return cmd
}

func serveGit(ctx context.Context, s streams, folder, listen string) error {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return usagef("%s: there is no such folder", folder)
	}
	root, err := os.MkdirTemp("", "idp-git-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(root) }()
	repository := filepath.Join(root, "platform.git")
	sha, err := gitops.Seal(ctx, folder, repository)
	if err != nil {
		return err
	}
	if _, err := gitops.Publish(ctx, repository, sha); err != nil {
		return err
	}
	handler, err := gitops.Handler(root)
	if err != nil {
		return err
	}
	listener, err := listenAt(ctx, listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "✓ platform.git at %s, commit %s\n", listener.Addr(), sha[:12])
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", folder, err)
	}
	return nil
}
