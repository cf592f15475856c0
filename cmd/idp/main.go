// Command idp brings an internal developer platform up from a checkout of this repository and hands it over to Argo CD.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Helm's libraries write remarks to the global logger; they would tear the live view and are no news to a user.
	log.SetOutput(io.Discard)
	// The first signal ends the work in an orderly way; a second one ends the program, since stop gives back the default.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
