package pipelines

import (
	"errors"
	"fmt"
	"strings"

	"github.com/idp-blueprint/idp/internal/dagger"
)

// explained is an error as a person should read it. It wraps nothing on purpose: of an error that wraps an engine's, the engine shows
// only its own, and where it happened and what was found out about it would be lost.
type explained string

func (e explained) Error() string { return string(e) }

// explain says what failed and why: for a command, in the words that it printed.
func explain(what string, err error, more ...string) error {
	why := err.Error()
	var failed *dagger.ExecError
	if errors.As(err, &failed) {
		why = strings.TrimSpace(failed.Stderr)
		if why == "" {
			why = strings.TrimSpace(failed.Stdout)
		}
		why = fmt.Sprintf("%s (exit code %d)", why, failed.ExitCode)
	}
	return explained(strings.TrimSpace(what + ": " + why + "\n" + strings.Join(more, "\n")))
}
