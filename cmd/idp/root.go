package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/secrets"
	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2 // usage or invalid input
	exitTimedOut = 124
)

// streams are where a command reads from and writes to: data on out, progress and errors on err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError marks what the person who typed the command can put right.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// run is main without the process: it can be called by tests.
func run(ctx context.Context, args []string, s streams) int {
	cmd := newRoot(s)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		fmt.Fprintln(s.err, "idp: interrupted; nothing is lost: run the same command again and it goes on from here")
		return code
	}
	fmt.Fprintf(s.err, "idp: %v\n", err)
	return code
}

func exitCode(ctx context.Context, err error) int {
	var usage usageError
	var input *platform.InputError
	var secret *secrets.InputError
	switch {
	case errors.As(err, &usage), errors.As(err, &input), errors.As(err, &secret):
		return exitUsage
	case ctx.Err() != nil:
		return exitFailed // interrupted
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimedOut
	}
	return exitFailed
}

func newRoot(s streams) *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "idp",
		Short: "An internal developer platform as code, on your own machine",
		Long: `idp turns this repository's IT/, K8s/ and Policies/ folders into a running platform and hands it over to Argo CD.

Where there is no container runtime it runs an embedded cluster: the real Kubernetes control plane and the real Argo CD,
with simulated nodes. Nothing needs root, and nothing is installed outside your cache and state folders.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs, // an unknown command comes here, to be refused in our own way
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
	cmd.SetIn(s.in)
	cmd.SetOut(s.out)
	cmd.SetErr(s.err)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nsee: idp --help", err)}
	})
	o.bind(cmd.PersistentFlags())
	for _, sub := range []*cobra.Command{
		newUp(s, o), newDown(s, o), newStatus(s, o), newRender(s, o), newLint(s, o), newLock(s, o), newKubeconfig(s, o),
		newSecrets(s, o), newCredentials(s, o), newCA(s, o),
		newLayers(s, o), newServe(s, o), newImages(s, o),
		newCharts(s, o), newBuild(s, o), newDoctor(s, o), newVersion(s, o),
	} {
		if sub.Args == nil {
			sub.Args = noArgs
		}
		cmd.AddCommand(sub)
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			names = append(names, sub.Name())
		}
	}
	hint := ""
	if near := platform.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return usagef("there is no command %q%s\nsee: idp --help", name, hint)
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q takes no argument, got %q\nsee: %s --help", cmd.CommandPath(), args, cmd.CommandPath())
	}
	return nil
}
