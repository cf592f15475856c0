// Command idp-embedded is the embedded control plane: etcd, the Kubernetes control plane, Argo CD's controllers and what
// plays the parts of a cluster that do not run, in one binary that dispatches on its first argument. `supervise` runs the
// others as its children. It is built and started by idp; nobody needs to call it by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/idp-blueprint/idp/embedded/lifeline"
	"github.com/idp-blueprint/idp/embedded/memory"
	"github.com/idp-blueprint/idp/embedded/state"
)

func main() {
	os.Exit(run(os.Args, programs(), os.Stderr))
}

// run finds the program that args[1] names and runs it with the arguments that follow. Returns the exit code: 2 for a
// program that does not exist, 1 for one that failed.
func run(args []string, table map[string]program, stderr *os.File) int {
	if len(args) < 2 || table[args[1]] == nil {
		names := slices.Sorted(maps.Keys(table))
		_, _ = fmt.Fprintf(stderr, "usage: idp-embedded PROGRAM [ARGUMENT…], where PROGRAM is one of %s\n", strings.Join(names, ", "))
		return 2
	}
	lifeline.Watch()
	memory.Settle()
	if err := state.LoadPrivateEnvironment(); err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 1
	}
	// The programs below read os.Args themselves.
	os.Args = args[1:]
	err := table[args[1]](context.Background(), args[2:])
	var exit exitCode
	if errors.As(err, &exit) {
		return int(exit)
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "%s: %v\n", args[1], err)
		return 1
	}
	return 0
}
