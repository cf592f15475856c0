package e2e

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKilledAtAnyMoment ends `up` and everything that it started with SIGKILL, or up alone with SIGINT, at a random moment, and runs it again.
// IDP_E2E_KILLS sets how often; each round starts from nothing, without snapshots.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 1
	if n, err := strconv.Atoi(os.Getenv("IDP_E2E_KILLS")); err == nil {
		rounds = n
	}
	tool := newIDP(t, "")
	started := time.Now()
	require.True(t, tool.up(t, "--name", "whole").Ready)
	whole := time.Since(started)
	tool.ok(t, "down", "--name", "whole")

	for round := range rounds {
		require.NoError(t, os.RemoveAll(tool.cache+"/snapshots"))
		moment := rand.N(whole)
		signal := syscall.SIGKILL
		if round%2 == 1 {
			signal = syscall.SIGINT
		}
		t.Logf("round %d: %s after %s of %s", round, signal, moment, whole)
		ended := killAfter(t, tool, moment, signal)
		if ended {
			t.Log("up had ended before")
		}
		require.True(t, tool.up(t, "--name", "killed").Ready)
		tool.ok(t, "down", "--name", "killed")
		require.NoDirExists(t, tool.state+"/killed")
	}
}

// killAfter starts up, ends it after the time and reports whether it had ended by itself.
func killAfter(t *testing.T, tool *idp, moment time.Duration, signal syscall.Signal) bool {
	t.Helper()
	cmd := tool.command(context.Background(), "up", "--name", "killed", "--offline")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		require.NoError(t, err, out.String())
		return true
	case <-time.After(moment):
	}
	require.NoError(t, cmd.Process.Signal(signal))
	select {
	case err := <-ended:
		require.Error(t, err)
		if signal == syscall.SIGINT {
			require.Contains(t, out.String(), "run the same command again")
		}
	case <-time.After(time.Minute):
		t.Fatalf("up did not end within a minute of %s:\n%s", signal, out.String())
	}
	return false
}
