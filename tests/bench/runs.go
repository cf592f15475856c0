package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/idp-blueprint/idp/internal/platform"
)

// bencher has folders of its own: an empty snapshot cache, and clusters that nobody else uses.
type bencher struct {
	root     string
	idp      string
	kubectl  string
	helm     string
	state    string
	cache    string
	env      []string
	platform *platform.Platform
	layers   []string // but the hand-over
	blank    string   // a checkout without layers: what the script's cluster starts from
}

type kind struct {
	name string
	run  func(context.Context) (measurement, error)
}

// kinds are the four kinds of run, in the order in which each round goes: cold leaves the cluster that no-op looks at and the
// snapshot that warm starts from.
func (b *bencher) kinds() []kind {
	return []kind{{"script", b.script}, {"cold", b.cold}, {"no-op", b.noop}, {"warm", b.warm}}
}

func newBencher(ctx context.Context, dir string) (*bencher, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	p, err := platform.Load(os.DirFS(root), root)
	if err != nil {
		return nil, err
	}
	b := &bencher{root: root, platform: p, idp: filepath.Join(dir, "idp"), kubectl: filepath.Join(dir, "kubectl"),
		state: filepath.Join(dir, "state"), cache: filepath.Join(dir, "cache"), blank: filepath.Join(dir, "blank")}
	for _, layer := range p.Layers {
		if !layer.HandOver {
			b.layers = append(b.layers, layer.Name)
		}
	}
	return b, b.build(ctx)
}

// build makes the commands and links the caches that are no part of what is measured: the control plane and the charts.
func (b *bencher) build(ctx context.Context) error {
	if _, err := output(ctx, b.root, nil, "go", "build", "-o", b.idp, "./cmd/idp"); err != nil {
		return err
	}
	program, err := output(ctx, b.root, nil, b.idp, "build")
	if err != nil {
		return err
	}
	folder := filepath.Dir(strings.TrimSpace(program))
	b.helm = filepath.Join(folder, "helm")
	toolchain, err := output(ctx, b.root, nil, "awk", `$1 == "go" { print "go" $2 }`, "embedded/go.mod")
	if err != nil {
		return err
	}
	env := []string{"GOTOOLCHAIN=" + strings.TrimSpace(toolchain)}
	// The flags of the control plane's own build, so that what the two share isn't compiled twice.
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", b.kubectl, "k8s.io/kubernetes/cmd/kubectl"}
	if _, err := output(ctx, filepath.Join(b.root, "embedded"), env, "go", args...); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(b.cache, "idp"), 0o755); err != nil {
		return err
	}
	shared := filepath.Dir(filepath.Dir(folder))
	for _, name := range []string{"embedded", "charts"} {
		if err := os.Symlink(filepath.Join(shared, name), filepath.Join(b.cache, "idp", name)); err != nil {
			return err
		}
	}
	gocache, err := output(ctx, b.root, nil, "go", "env", "GOCACHE") // it would move along with XDG_CACHE_HOME
	if err != nil {
		return err
	}
	b.env = []string{"GOCACHE=" + strings.TrimSpace(gocache), "XDG_STATE_HOME=" + b.state, "XDG_CACHE_HOME=" + b.cache}
	return b.blankCheckout()
}

// blankCheckout is the platform's nodes with next to no layer.
func (b *bencher) blankCheckout() error {
	if err := os.CopyFS(b.blank, os.DirFS(filepath.Join(b.root, "tests", "bench", "testdata", "blank"))); err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(b.root, "platform.yaml"))
	if err != nil {
		return err
	}
	withoutStacks, _, _ := bytes.Cut(content, []byte("\n    # Stacks that"))
	if err := os.WriteFile(filepath.Join(b.blank, "platform.yaml"), append(withoutStacks, '\n'), 0o644); err != nil {
		return err
	}
	return os.Symlink(filepath.Join(b.root, "embedded"), filepath.Join(b.blank, "embedded"))
}

func (b *bencher) cold(ctx context.Context) (measurement, error) {
	if err := os.RemoveAll(filepath.Join(b.cache, "idp", "snapshots")); err != nil {
		return measurement{}, err
	}
	return b.up(ctx, "cold")
}

func (b *bencher) noop(ctx context.Context) (measurement, error) { return b.up(ctx, "cold") }

func (b *bencher) warm(ctx context.Context) (measurement, error) {
	if err := b.down(ctx, "cold"); err != nil {
		return measurement{}, err
	}
	m, err := b.up(ctx, "warm")
	if err != nil {
		return m, err
	}
	return m, b.down(ctx, "warm")
}

func (b *bencher) down(ctx context.Context, name string) error {
	_, err := output(ctx, b.root, b.env, b.idp, "down", "--name", name)
	return err
}

// up runs idp up and reads the clock off its events.
func (b *bencher) up(ctx context.Context, name string) (measurement, error) {
	started := time.Now()
	out, err := output(ctx, b.root, b.env, b.idp, "up", "--name", name, "--offline", "-o", "json")
	if err != nil {
		return measurement{}, err
	}
	m := measurement{ready: time.Since(started), layers: map[string]time.Duration{}}
	var first, last time.Time
	for text := range strings.SplitSeq(out, "\n") {
		var e struct {
			Time        time.Time
			Phase, Name string
			State       string
			Seconds     float64
		}
		if json.Unmarshal([]byte(text), &e) != nil || e.Phase != "layer" || !b.counted(e.Name) {
			continue
		}
		if e.State != "pending" && first.IsZero() {
			first = e.Time
		}
		if e.State == "applied" {
			last = e.Time
			m.layers[e.Name] = time.Duration(e.Seconds * float64(time.Second))
		}
	}
	if !last.IsZero() {
		m.total = last.Sub(first)
	}
	return m, nil
}

func (b *bencher) counted(layer string) bool {
	for _, name := range b.layers {
		if name == layer {
			return true
		}
	}
	return false
}

// output runs a command to its end; what it said on standard error belongs to the failure.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}
