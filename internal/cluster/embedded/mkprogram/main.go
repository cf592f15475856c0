// Command mkprogram builds the embedded control plane's program as `idp build` does, and depends on nothing else of idp: who keeps what
// it makes by what it is made from doesn't make it again when another part of idp changes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/cluster/embedded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mkprogram:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 || !filepath.IsAbs(args[0]) || !filepath.IsAbs(args[1]) {
		return errors.New("usage: mkprogram MODULE CACHE: the folder embedded/ of a checkout and idp's cache folder, both absolute")
	}
	path, err := embedded.Build(ctx, embedded.Spec{ModuleDir: args[0], CacheDir: args[1]}, func(p cluster.Progress) {
		fmt.Fprintln(os.Stderr, p.Message)
	})
	if err == nil {
		fmt.Println(path)
	}
	return err
}
