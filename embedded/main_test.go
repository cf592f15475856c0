package main

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	before := os.Args
	t.Cleanup(func() { os.Args = before })
	var ran []string
	table := map[string]program{
		"good": func(_ context.Context, args []string) error { ran = args; return nil },
		"bad":  func(context.Context, []string) error { return errors.New("broken") },
		"told": func(context.Context, []string) error { return exitCode(7) },
	}
	for name, c := range map[string]struct {
		args   []string
		code   int
		stderr string
	}{
		"runs":    {args: []string{"idp-embedded", "good", "--x"}},
		"fails":   {args: []string{"idp-embedded", "bad"}, code: 1, stderr: "bad: broken\n"},
		"exits":   {args: []string{"idp-embedded", "told"}, code: 7},
		"unknown": {args: []string{"idp-embedded", "god"}, code: 2, stderr: "usage: idp-embedded PROGRAM [ARGUMENT…], where PROGRAM is one of bad, good, told\n"},
		"none":    {args: []string{"idp-embedded"}, code: 2, stderr: "usage: idp-embedded PROGRAM [ARGUMENT…], where PROGRAM is one of bad, good, told\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			require.NoError(t, err)
			require.Equal(t, c.code, run(c.args, table, w))
			require.NoError(t, w.Close())
			text, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, c.stderr, string(text))
		})
	}
	require.Equal(t, []string{"--x"}, ran)
}

func TestEveryProgramOfTheSupervisorExists(t *testing.T) {
	table := programs()
	for _, name := range []string{"supervise", "simulator", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "argocd-application-controller", "argocd-applicationset-controller", "argocd-repo-server"} {
		require.NotNil(t, table[name], name)
	}
}
