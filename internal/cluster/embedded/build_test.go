package embedded

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/cluster"
)

// fakeGo is a Go command that behaves as the script says; $OUT is the folder that a build writes to.
func fakeGo(t *testing.T, script string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "go")
	text := "#!/bin/sh\nOUT=\nprevious=\nfor a in \"$@\"; do [ \"$previous\" = -o ] && OUT=$a; previous=$a; done\n" + script
	require.NoError(t, os.WriteFile(file, []byte(text), 0o700))
	return file
}

func newTestBuilder(t *testing.T, script string) *builder {
	t.Helper()
	dir := t.TempDir()
	module := filepath.Join(dir, "embedded")
	require.NoError(t, os.MkdirAll(module, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(module, "go.mod"), []byte("go 1.27.4\nrequire k8s.io/kubernetes v1.37.2\n"), 0o600))
	return &builder{moduleDir: module, cacheDir: filepath.Join(dir, "cache"), goCommand: fakeGo(t, script)}
}

const goodBuild = `
case $1 in
list) printf 'a\nb\n' ;;
build) echo "$GOTOOLCHAIN" >> "$0.runs"; printf 'a\nb\n' >&2; echo x > "$OUT/embedded"; echo x > "$OUT/helm" ;;
esac`

func TestBuildOnceWithProgress(t *testing.T) {
	b := newTestBuilder(t, goodBuild)
	var last cluster.Progress
	p, err := b.ensure(t.Context(), func(p cluster.Progress) { last = p })
	require.NoError(t, err)
	require.Equal(t, 2, last.Done)
	require.Equal(t, 2, last.Total)
	require.FileExists(t, p.path)
	require.FileExists(t, filepath.Join(filepath.Dir(p.path), helmName))
	require.Equal(t, "v1.37.2", p.kubernetes)

	again, err := b.ensure(t.Context(), func(p cluster.Progress) { t.Error("built again: " + p.Message) })
	require.NoError(t, err)
	require.Equal(t, p, again)
	runs, err := os.ReadFile(b.goCommand + ".runs")
	require.NoError(t, err)
	require.Equal(t, "go1.27.4\n", string(runs), "one build, with the module's toolchain")

	require.NoError(t, os.WriteFile(filepath.Join(b.moduleDir, "main.go"), []byte("package main"), 0o600))
	other, err := b.ensure(t.Context(), quiet)
	require.NoError(t, err)
	require.NotEqual(t, p.key, other.key, "an edit is another program")
}

func TestBuildFailures(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"compile error": {script: `[ $1 = list ] || { echo "main.go:3:1: syntax error" >&2; exit 1; }`, want: "main.go:3:1: syntax error"},
		"no toolchain":  {script: `echo "go: download go1.27.4 for linux/amd64: toolchain not available" >&2; exit 1`, want: "check GOPROXY and GOSUMDB"},
		"no network":    {script: `echo "go: k8s.io/api: dial tcp: lookup proxy: no such host" >&2; exit 1`, want: "Go modules could not be downloaded"},
		"Go is too old": {script: `echo "go: invalid go version '1.27.4': must match format 1.23" >&2; exit 1`, want: "too old"},
		"disk full":     {script: `[ $1 = list ] || { echo "write x: no space left on device" >&2; exit 1; }`, want: "the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTestBuilder(t, c.script)
			_, err := b.ensure(t.Context(), quiet)
			require.ErrorContains(t, err, c.want)
			requireNothingBuilt(t, b)
		})
	}
}

func TestBuildWithoutGo(t *testing.T) {
	b := newTestBuilder(t, "")
	b.goCommand = "no-such-go"
	_, err := b.ensure(t.Context(), quiet)
	require.ErrorContains(t, err, "install Go 1.26 or newer from https://go.dev/dl/")
}

func TestBuildWithoutCheckout(t *testing.T) {
	b := newTestBuilder(t, "")
	b.moduleDir = filepath.Join(b.moduleDir, "none")
	_, err := b.ensure(t.Context(), quiet)
	require.ErrorIs(t, err, errNoModule)
}

func TestInterruptedBuildLeavesNothing(t *testing.T) {
	b := newTestBuilder(t, `
case $1 in
list) echo a ;;
build) echo x > "$OUT/embedded"; echo started >&2; exec sleep 60 ;;
esac`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := b.ensure(ctx, func(p cluster.Progress) {
		if p.Done > 0 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	requireNothingBuilt(t, b)

	b.goCommand = fakeGo(t, goodBuild)
	_, err = b.ensure(t.Context(), quiet)
	require.NoError(t, err, "the next build works")
}

func TestBuildRemovesWhatAKilledOneLeft(t *testing.T) {
	b := newTestBuilder(t, goodBuild)
	left := filepath.Join(b.cacheDir, ".tmp-left")
	require.NoError(t, os.MkdirAll(left, 0o700))
	_, err := b.ensure(t.Context(), quiet)
	require.NoError(t, err)
	require.NoDirExists(t, left)
}

func TestBuildWaitsForAnother(t *testing.T) {
	b := newTestBuilder(t, goodBuild)
	require.NoError(t, os.MkdirAll(b.cacheDir, 0o700))
	held, err := acquire(filepath.Join(b.cacheDir, "lock"))
	require.NoError(t, err)
	waited := false
	_, err = b.ensure(t.Context(), func(p cluster.Progress) {
		if strings.Contains(p.Message, "waiting for another idp") {
			waited = true
			require.NoError(t, held.release())
		}
	})
	require.NoError(t, err)
	require.True(t, waited)
}

func TestOldBuildsAreRemoved(t *testing.T) {
	b := newTestBuilder(t, "")
	for i, name := range []string{"a", "b", "c", "d"} {
		dir := filepath.Join(b.cacheDir, name)
		require.NoError(t, os.MkdirAll(dir, 0o700))
		used := day0.Add(time.Duration(i) * time.Hour)
		require.NoError(t, os.Chtimes(dir, used, used))
	}
	require.NoError(t, b.prune("a"))
	var left []string
	entries, err := os.ReadDir(b.cacheDir)
	require.NoError(t, err)
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	require.Equal(t, []string{"a", "c", "d"}, left, "the current one and the two that were used last")
}

func requireNothingBuilt(t *testing.T, b *builder) {
	t.Helper()
	entries, err := os.ReadDir(b.cacheDir)
	require.NoError(t, err)
	for _, entry := range entries {
		require.Equal(t, "lock", entry.Name())
	}
	_, err = os.Stat(filepath.Join(b.moduleDir, "embedded"))
	require.True(t, errors.Is(err, os.ErrNotExist))
}
