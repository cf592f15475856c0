package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/idp-blueprint/idp/internal/cluster"
)

const (
	startBound = 3 * time.Minute
	killBound  = 15 * time.Second
	saveBound  = 10 * time.Second
	pollEvery  = 40 * time.Millisecond
)

// Provider is one embedded cluster. Up and Down hold the cluster's lock until Close or the end of the process.
type Provider struct {
	spec    Spec
	program program
	lock    *lock
	before  func(ctx context.Context) error
}

// New returns the provider of the cluster that spec describes.
func New(spec Spec) *Provider { return &Provider{spec: spec} }

// BeforeStart makes Up call f when the cluster is this process's alone and before its processes run: what they read, like the
// repository in GitDir, can be put there in time.
func (p *Provider) BeforeStart(f func(ctx context.Context) error) { p.before = f }

// Close gives the cluster's lock back.
func (p *Provider) Close() error {
	if p.lock == nil {
		return nil
	}
	err := p.lock.release()
	p.lock = nil
	return err
}

// Up builds the program if need be, starts the cluster or attaches to it, and waits until it is ready. Where it fails it gives
// the lock back.
func (p *Provider) Up(ctx context.Context, emit func(cluster.Progress)) (*cluster.Access, error) {
	if err := p.spec.validate(); err != nil {
		return nil, err
	}
	if err := p.acquire(); err != nil {
		return nil, err
	}
	access, err := p.up(ctx, emit)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return access, nil
}

func (p *Provider) up(ctx context.Context, emit func(cluster.Progress)) (*cluster.Access, error) {
	if err := p.checkFolder(); err != nil {
		return nil, err
	}
	var err error
	if p.program, err = newBuilder(p.spec).ensure(ctx, emit); err != nil {
		return nil, err
	}
	if err := p.spec.checkVersion(p.program.kubernetes); err != nil {
		return nil, err
	}
	if p.before != nil {
		if err := p.before(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.start(ctx, emit); err != nil {
		return nil, err
	}
	return p.Access(ctx)
}

// start makes the supervisor run, with this program and these nodes, until it is ready.
func (p *Provider) start(ctx context.Context, emit func(cluster.Progress)) error {
	now, err := p.control().status(ctx)
	if err == nil && now.Program == p.program.key && now.Schema == schema {
		if err := p.updateNodes(ctx); err != nil {
			return err
		}
		return p.await(ctx, emit, 0)
	}
	if err == nil {
		emit(cluster.Progress{Message: "restarting with the program of this checkout"})
	}
	// Either another program runs, or the remains of a crash.
	if err := p.kill(); err != nil {
		return err
	}
	if err := enoughRoom(p.spec.StateDir, roomForCluster, "the cluster's data"); err != nil {
		return err
	}
	for {
		snapshot, err := p.chooseSnapshot(emit)
		if err != nil {
			return err
		}
		pid, err := p.launch(snapshot)
		if err != nil {
			return err
		}
		err = p.await(ctx, emit, pid)
		var failed *startError
		if err == nil || snapshot == nil || !errors.As(err, &failed) {
			return err
		}
		// A snapshot that was whole but doesn't start is as good as a damaged one.
		emit(cluster.Progress{Message: fmt.Sprintf("snapshot %s does not start and is removed: %v", snapshot.id, failed)})
		if err := p.kill(); err != nil {
			return err
		}
		if err := errors.Join(p.snapshots().remove(snapshot.id), os.RemoveAll(p.spec.file("etcd"))); err != nil {
			return err
		}
	}
}

// clusterFile is cluster.json, which the supervisor reads.
type clusterFile struct {
	Schema  int    `json:"schema"`
	Name    string `json:"name"`
	Program string `json:"program"`
	Restore string `json:"restore,omitempty"`
}

// launch writes what the supervisor reads and starts it, detached from this process.
func (p *Provider) launch(from *snapshot) (pid int, err error) {
	file := clusterFile{Schema: schema, Name: p.spec.Name, Program: p.program.key}
	if from != nil {
		file.Restore = from.data
	}
	for _, dir := range []string{"logs", "run", "git"} {
		if err := os.MkdirAll(p.spec.file(dir), 0o700); err != nil {
			return 0, explain(err)
		}
	}
	if err := writeJSON(p.spec.file("nodes.json"), p.spec.Nodes); err != nil {
		return 0, err
	}
	if err := writeJSON(p.spec.file("cluster.json"), file); err != nil {
		return 0, err
	}
	return detach(p.spec.file("logs", "supervise.log"), p.program.path, "supervise", "--dir", p.spec.StateDir)
}

// updateNodes hands changed nodes to a running cluster.
func (p *Provider) updateNodes(ctx context.Context) error {
	was, _ := os.ReadFile(p.spec.file("nodes.json"))
	if err := writeJSON(p.spec.file("nodes.json"), p.spec.Nodes); err != nil {
		return err
	}
	now, err := os.ReadFile(p.spec.file("nodes.json"))
	if err != nil || string(was) == string(now) {
		return err
	}
	return p.control().restart(ctx, "simulator")
}

// startError is a cluster that can't start; the supervisor says why.
type startError struct{ reason string }

func (e *startError) Error() string { return e.reason }

// await waits until the supervisor says ready. pid is the supervisor's, 0 where this call didn't start it.
func (p *Provider) await(ctx context.Context, emit func(cluster.Progress), pid int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startBound, fmt.Errorf("waited %s for the control plane to start: %w; its logs: %s", startBound, context.DeadlineExceeded, p.spec.file("logs")))
	defer cancel()
	last := ""
	for {
		st, err := p.control().status(ctx)
		switch {
		case err == nil && st.Ready:
			return nil
		case err == nil && st.Failed != "":
			return &startError{reason: explainText(st.Failed)}
		case err != nil && pid != 0 && !running(pid):
			return &startError{reason: "the supervisor ended: " + explainText(tailOf(p.spec.file("logs", "supervise.log")))}
		case err == nil && st.Doing != "" && st.Doing != last:
			last = st.Doing
			emit(cluster.Progress{Message: "control plane: " + st.Doing})
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Access reads the running cluster.
func (p *Provider) Access(ctx context.Context) (*cluster.Access, error) {
	if err := p.spec.validate(); err != nil {
		return nil, err
	}
	if err := p.checkFolder(); err != nil {
		return nil, err
	}
	st, err := p.control().status(ctx)
	if err != nil || !st.Ready {
		reason := ""
		if err == nil {
			reason = ": " + st.Failed + st.Doing
		}
		return nil, fmt.Errorf("cluster %s%s: %w: `idp up --name %s` starts it", p.spec.Name, reason, cluster.ErrNotRunning, p.spec.Name)
	}
	kubeconfig := p.spec.file("kubeconfig")
	raw, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of cluster %s: %w", p.spec.Name, err)
	}
	config, err := clientcmd.NewDefaultClientConfig(*raw, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of cluster %s: %w", p.spec.Name, err)
	}
	config.QPS = -1 // all calls are to this machine
	info, err := cluster.Inspect(ctx, config, cluster.Info{Name: p.spec.Name, Provider: "embedded", Simulated: st.Simulated})
	if err != nil {
		return nil, err
	}
	return &cluster.Access{Info: info, Config: config, Kubeconfig: kubeconfig, Context: raw.CurrentContext}, nil
}

// Down ends every process of the cluster and removes its folder, also after a crash.
func (p *Provider) Down(ctx context.Context, emit func(cluster.Progress)) error {
	if err := p.spec.validate(); err != nil {
		return err
	}
	if _, err := os.Stat(p.spec.StateDir); errors.Is(err, fs.ErrNotExist) {
		emit(cluster.Progress{Message: fmt.Sprintf("there is no cluster %s", p.spec.Name)})
		return nil
	}
	if err := p.acquire(); err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	emit(cluster.Progress{Message: "ending the processes"})
	p.awaitSaved(ctx)
	if err := p.kill(); err != nil {
		return err
	}
	emit(cluster.Progress{Message: "removing " + p.spec.StateDir})
	if err := removeAll(p.spec.StateDir); err != nil {
		return fmt.Errorf("removing cluster %s: %w", p.spec.Name, err)
	}
	return nil
}

// awaitSaved gives snapshots that are being written a moment.
func (p *Provider) awaitSaved(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, saveBound)
	defer cancel()
	for {
		st, err := p.control().status(ctx)
		if err != nil || st.Saving == 0 {
			return
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return
		}
	}
}

// kill ends the supervisor and what it started, by what it wrote down.
func (p *Provider) kill() error {
	var known processes
	if err := readJSON(p.spec.file("run", "processes.json"), &known); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The supervisor first, or it would start the others again; they end with it, these are the ones that can't.
	if err := known.Supervisor.end(killBound); err != nil {
		return err
	}
	if err := endHolder(p.spec.file("supervisor.lock"), killBound); err != nil {
		return err
	}
	var errs []error
	for _, child := range known.Children {
		errs = append(errs, child.end(killBound))
	}
	return errors.Join(errs...)
}

// Endpoints are the URLs that answer on this machine, by what they are.
func (p *Provider) Endpoints(ctx context.Context) (map[string]string, error) {
	st, err := p.control().status(ctx)
	if err != nil {
		return nil, err
	}
	return st.Endpoints, nil
}

// Usage is the resident memory of the cluster's processes, in bytes, by process. What processes share is divided among them.
func (p *Provider) Usage(ctx context.Context) (map[string]int64, error) {
	st, err := p.control().usage(ctx)
	if err != nil {
		return nil, err
	}
	usage := map[string]int64{}
	for _, process := range st.Processes {
		usage[process.Name] = process.PSS
		if process.PSS == 0 {
			usage[process.Name] = process.RSS
		}
	}
	return usage, nil
}

// checkFolder refuses a folder that another version of idp made.
func (p *Provider) checkFolder() error {
	var file clusterFile
	err := readJSON(p.spec.file("cluster.json"), &file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || err == nil && file.Schema != schema {
		return fmt.Errorf("%s: made by another version of idp (version %d of the state folder, this one knows %d): `idp down --name %s` removes the cluster, `idp up` makes it anew",
			p.spec.file("cluster.json"), file.Schema, schema, p.spec.Name)
	}
	return err
}

func (p *Provider) acquire() error {
	if p.lock != nil {
		return nil
	}
	if err := os.MkdirAll(p.spec.StateDir, 0o700); err != nil {
		return explain(err)
	}
	l, err := acquire(filepath.Join(p.spec.StateDir, "lock"))
	var held *heldError
	if errors.As(err, &held) {
		return fmt.Errorf("cluster %s: another idp%s works on it: wait until it ends, or choose another --name", p.spec.Name, held.who())
	}
	p.lock = l
	return err
}
