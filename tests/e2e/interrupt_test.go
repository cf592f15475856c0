package e2e

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKilledAtAnyMoment ends `up` at a random moment and runs it again: with SIGKILL, every second time together with every process that
// it started, or with SIGINT.
// IDP_E2E_KILLS and IDP_E2E_INTERRUPTS set how often; each round starts from nothing, without snapshots.
func TestKilledAtAnyMoment(t *testing.T) {
	signals := slices.Repeat([]syscall.Signal{syscall.SIGKILL}, setting(t, "IDP_E2E_KILLS", 1))
	signals = append(signals, slices.Repeat([]syscall.Signal{syscall.SIGINT}, setting(t, "IDP_E2E_INTERRUPTS", 0))...)
	tool := newIDP(t, "")
	started := time.Now()
	require.True(t, tool.up(t, "--name", "whole").Ready)
	whole := time.Since(started)
	tool.ok(t, "down", "--name", "whole")

	for round, signal := range signals {
		require.NoError(t, os.RemoveAll(tool.cache+"/snapshots"))
		moment := rand.N(whole)
		t.Logf("round %d: %s after %s of %s", round, signal, moment, whole)
		if killAfter(t, tool, moment, signal) {
			t.Log("up had ended before")
		}
		if signal == syscall.SIGKILL && round%2 == 1 {
			for pid := range processes(t, filepath.Join(tool.state, "killed")) {
				// One may have ended with its supervisor.
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		require.True(t, tool.up(t, "--name", "killed").Ready)
		tool.ok(t, "down", "--name", "killed")
		require.NoDirExists(t, tool.state+"/killed")
	}
}

// setting reads a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
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
