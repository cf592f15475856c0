package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/idp-blueprint/idp/internal/cluster"
)

const (
	programName = "idp-embedded"
	helmName    = "helm"
	helmPackage = "helm.sh/helm/v3/cmd/helm"
	// keptBuilds is how many built programs stay in the cache: the sources of two branches, and one to spare.
	keptBuilds = 3
	// lockPoll is how often another idp's build is looked at.
	lockPoll = 500 * time.Millisecond
	// endGrace is how long the Go command may take to end its compilers when it is interrupted.
	endGrace = 10 * time.Second
)

// program is a built program.
type program struct {
	key        string
	path       string
	kubernetes string
	module     module
}

// builder makes the program from the checkout, once for each key.
type builder struct {
	moduleDir string
	cacheDir  string
	goCommand string
}

func newBuilder(s Spec) *builder {
	return &builder{moduleDir: s.ModuleDir, cacheDir: filepath.Join(s.CacheDir, "embedded"), goCommand: "go"}
}

// ensure returns the program, building it if it isn't in the cache. An interrupted build leaves nothing behind but Go's own
// build cache, from which the next one goes on.
func (b *builder) ensure(ctx context.Context, emit func(cluster.Progress)) (program, error) {
	p, err := b.identify()
	if err != nil {
		return p, err
	}
	if b.use(p) {
		return p, nil
	}
	if err := os.MkdirAll(b.cacheDir, 0o755); err != nil {
		return p, explain(err)
	}
	l, err := b.waitForLock(ctx, emit)
	if err != nil {
		return p, err
	}
	defer func() { _ = l.release() }()
	if b.use(p) {
		return p, nil // the one we waited for has built it
	}
	if err := enoughRoom(b.cacheDir, roomForBuild, "building the control plane"); err != nil {
		return p, err
	}
	if err := b.build(ctx, p.module, filepath.Dir(p.path), emit); err != nil {
		return p, err
	}
	return p, b.prune(p.key)
}

// identify reads which program these sources make.
func (b *builder) identify() (program, error) {
	m, err := b.module()
	if err != nil {
		return program{}, err
	}
	key, err := programKey(os.DirFS(b.moduleDir), m, buildFlags(m))
	if err != nil {
		return program{}, fmt.Errorf("reading the sources of the control plane: %w", err)
	}
	return program{key: key, path: filepath.Join(b.cacheDir, key, programName), kubernetes: m.kubernetes, module: m}, nil
}

func (b *builder) module() (module, error) {
	if b.moduleDir == "" {
		return module{}, errNoModule
	}
	file := filepath.Join(b.moduleDir, "go.mod")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return module{}, fmt.Errorf("%s does not exist: %w", file, errNoModule)
	}
	if err != nil {
		return module{}, err
	}
	m, err := parseModule(data)
	if err != nil {
		return module{}, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// use says whether the program is in the cache, and notes that it is still wanted.
func (b *builder) use(p program) bool {
	if _, err := os.Stat(p.path); err != nil {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(filepath.Dir(p.path), now, now) // only the order of the clean-up depends on it
	return true
}

func (b *builder) waitForLock(ctx context.Context, emit func(cluster.Progress)) (*lock, error) {
	told := false
	for {
		l, err := acquire(filepath.Join(b.cacheDir, "lock"))
		var held *heldError
		if !errors.As(err, &held) {
			return l, err
		}
		if !told {
			emit(cluster.Progress{Message: fmt.Sprintf("waiting for another idp%s, which builds the control plane", held.who())})
			told = true
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// build compiles into a folder beside dir and renames it, so that dir is there complete or not at all.
func (b *builder) build(ctx context.Context, m module, dir string, emit func(cluster.Progress)) error {
	if err := removeGlob(filepath.Join(b.cacheDir, ".tmp-*")); err != nil { // of builds that were killed; we hold the lock
		return err
	}
	const message = "building the control plane (first use of these sources; kept afterwards)"
	emit(cluster.Progress{Message: message})
	tmp, err := os.MkdirTemp(b.cacheDir, ".tmp-")
	if err != nil {
		return explain(err)
	}
	defer func() { _ = os.RemoveAll(tmp) }() // gone already when the rename worked

	packages := []string{".", helmPackage}
	total, err := b.countStale(ctx, m, packages)
	if err != nil {
		return err
	}
	done := 0
	args := append([]string{"build", "-v"}, buildFlags(m)...)
	args = append(args, "-o", tmp+string(filepath.Separator))
	err = b.run(ctx, m, append(args, packages...), nil, func(line string) bool {
		if strings.ContainsAny(line, " \t:") || line == "" {
			return false
		}
		done++
		if done >= total {
			emit(cluster.Progress{Message: "building the control plane: linking", Done: total, Total: total})
			return true
		}
		emit(cluster.Progress{Message: message, Done: done, Total: total})
		return true
	})
	if err != nil {
		return err
	}
	// The Go command names the program after the module's folder.
	if err := os.Rename(filepath.Join(tmp, "embedded"), filepath.Join(tmp, programName)); err != nil {
		return explain(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return explain(os.Rename(tmp, dir))
}

// countStale asks how many packages have to be compiled.
func (b *builder) countStale(ctx context.Context, m module, packages []string) (int, error) {
	args := append([]string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}"}, buildFlags(m)...)
	var out bytes.Buffer
	if err := b.run(ctx, m, append(args, packages...), &out, nil); err != nil {
		return 0, err
	}
	return len(strings.Fields(out.String())), nil
}

// run runs the Go command in the module. Lines on its standard error go to progress first; the ones that it does not take
// explain a failure.
func (b *builder) run(ctx context.Context, m module, args []string, stdout io.Writer, progress func(line string) bool) error {
	path, err := exec.LookPath(b.goCommand)
	if err != nil {
		return fmt.Errorf("go is not installed, and the control plane is compiled on first use: install Go 1.26 or newer from https://go.dev/dl/ and run the command again: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = b.moduleDir
	// The module says which Go it wants; the rest of the repository is content with an older one.
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN="+m.toolchain, "GOWORK=off")
	cmd.Stdout = stdout
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endGrace
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("go: %w", explain(err))
	}
	var complaints []string
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if progress == nil || !progress(lines.Text()) {
			complaints = append(complaints, lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("building the control plane was interrupted; the next run goes on from here: %w", ctx.Err())
		}
		return buildError(m, args[0], complaints, err)
	}
	return nil
}

// buildError says what to do about the failures that have nothing to do with the sources.
func buildError(m module, verb string, complaints []string, err error) error {
	const most = 30
	if len(complaints) > most {
		complaints = complaints[len(complaints)-most:]
	}
	text := strings.Join(complaints, "\n")
	advice := ""
	switch {
	case strings.Contains(text, "toolchain not available"), strings.Contains(text, "download "+m.toolchain), strings.Contains(text, "golang.org/toolchain"):
		advice = fmt.Sprintf("\nGo could not get its toolchain %s, which the control plane needs, from the module proxy: check GOPROXY and GOSUMDB (go env), or install %s from https://go.dev/dl/", m.toolchain, m.toolchain)
	case strings.Contains(text, "invalid GOTOOLCHAIN"), strings.Contains(text, "requires go >="), strings.Contains(text, "invalid go version"):
		advice = fmt.Sprintf("\nThe installed Go is too old to fetch %s by itself: install Go 1.26 or newer from https://go.dev/dl/", m.toolchain)
	case strings.Contains(text, "dial tcp"), strings.Contains(text, "no such host"), strings.Contains(text, "module lookup disabled"):
		advice = "\nGo modules could not be downloaded: the first build needs a Go module proxy; check GOPROXY (go env) and the network"
	}
	return fmt.Errorf("building the control plane: go %s: %w\n%s%s", verb, err, explainText(text), advice)
}

// prune removes the programs that were not used for longest. One that a cluster runs from goes on running.
func (b *builder) prune(current string) error {
	entries, err := os.ReadDir(b.cacheDir)
	if err != nil {
		return err
	}
	var old []aged
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || entry.Name() == current || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		old = append(old, aged{name: entry.Name(), used: info.ModTime()})
	}
	var errs []error
	for _, name := range oldest(old, keptBuilds-1) {
		errs = append(errs, os.RemoveAll(filepath.Join(b.cacheDir, name)))
	}
	return errors.Join(errs...)
}

func removeGlob(pattern string) error {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	var errs []error
	for _, match := range matches {
		errs = append(errs, os.RemoveAll(match))
	}
	return errors.Join(errs...)
}
