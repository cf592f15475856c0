// Package supervisor keeps the processes of one embedded cluster running: it makes their certificates, ports and
// configuration, starts them in order, restarts the ones that die, and answers idp on a Unix socket.
package supervisor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"k8s.io/component-base/version"

	"github.com/idp-blueprint/idp/embedded/lifeline"
	"github.com/idp-blueprint/idp/embedded/memory"
	"github.com/idp-blueprint/idp/embedded/state"
)

const orphanTimeout = 10 * time.Second

// Main is the program `supervise`: it runs the cluster of the folder --dir until it is told to stop by SIGTERM or through
// the control socket.
func Main(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("supervise", flag.ContinueOnError)
	dir := flags.String("dir", "", "folder of the cluster")
	if err := flags.Parse(args); err != nil {
		return err
	}
	layout, err := state.New(*dir)
	if err != nil {
		return err
	}
	unlock, err := lock(layout.Path("supervisor.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	spec, err := state.ReadSpec(layout)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	memory.SettleAt(50)
	line, err := lifeline.New()
	if err != nil {
		return err
	}
	defer func() { _ = line.Close() }()
	s := &supervisor{
		layout: layout,
		spec:   spec,
		ports:  state.Ports{},
		stop:   stop,
		log:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	s.runner = &runner{layout: layout, program: program, line: line, changed: s.record}
	return s.run(ctx)
}

// supervisor is the cluster while it runs.
type supervisor struct {
	layout state.Layout
	spec   state.Spec
	log    *slog.Logger
	runner *runner
	stop   func()

	mu       sync.Mutex
	ports    state.Ports
	doing    string
	failed   string
	restored bool
	saving   int // snapshots that are being written
	children []*child
	recorded sync.Mutex
}

// run brings the cluster up and keeps it up until ctx is done. The last to stop is what the others need.
func (s *supervisor) run(ctx context.Context) error {
	for _, dir := range []string{"run", "logs", "config", "pki", "git", "tmp", "home"} {
		if err := os.MkdirAll(s.layout.Path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := s.endOrphans(); err != nil {
		return err
	}
	control, err := s.serveControl()
	if err != nil {
		return err
	}
	defer control()
	s.record()

	tiers, err := s.prepare(ctx)
	if err != nil {
		// idp asks for the reason on the control socket before it gives up on us.
		s.log.Error("the cluster can't start", "error", err)
		s.set(func() { s.failed = err.Error() })
		<-ctx.Done()
		return err
	}
	return s.keepAll(ctx, tiers)
}

// keepAll runs the tiers, each of which needs those before it, and on the end of ctx stops them in reverse.
func (s *supervisor) keepAll(ctx context.Context, tiers [][]*child) error {
	type running struct {
		stop context.CancelFunc
		wait *sync.WaitGroup
	}
	var all []running
	for _, tier := range tiers {
		tierCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		wait := &sync.WaitGroup{}
		for _, c := range tier {
			wait.Go(func() { s.runner.keep(tierCtx, c) })
		}
		all = append(all, running{stop: cancel, wait: wait})
	}
	<-ctx.Done()
	s.log.Info("stopping")
	for i := len(all) - 1; i >= 0; i-- {
		all[i].stop()
		all[i].wait.Wait()
	}
	return nil
}

// prepare makes everything that the children read, and the children.
func (s *supervisor) prepare(ctx context.Context) ([][]*child, error) {
	if err := state.ReadJSON(s.layout.Ports(), &s.ports); err != nil {
		s.log.Warn("ports are chosen anew", "error", err)
		s.ports = state.Ports{}
	}
	if err := s.restore(ctx); err != nil {
		return nil, err
	}
	s.phase("making certificates")
	keys, err := newKeyring(s.layout)
	if err != nil {
		return nil, err
	}
	c, err := s.newCluster(ctx, keys)
	if err != nil {
		return nil, err
	}
	s.set(func() {
		for _, tier := range c {
			s.children = append(s.children, tier...)
		}
		s.doing = ""
	})
	return c, nil
}

// endOrphans ends what an earlier supervisor left behind; etcd's data must not have two owners.
func (s *supervisor) endOrphans() error {
	var before state.Processes
	if err := state.ReadJSON(s.layout.Processes(), &before); err != nil {
		s.log.Warn("the list of earlier processes is lost", "error", err)
		return nil
	}
	var errs []error
	for _, orphan := range before.Children {
		if orphan.Alive() {
			s.log.Info("ending a process of an earlier supervisor", "name", orphan.Name, "pid", orphan.PID)
			errs = append(errs, orphan.Kill(orphanTimeout))
		}
	}
	return errors.Join(errs...)
}

// record writes down which processes there are, for endOrphans and for `idp down`.
func (s *supervisor) record() {
	s.recorded.Lock()
	defer s.recorded.Unlock()
	var now state.Processes
	self, err := state.Identify("supervise", os.Getpid())
	if err != nil {
		s.log.Warn("recording the processes", "error", err)
	}
	now.Supervisor = self
	for _, c := range s.all() {
		if st := c.status(); st.PID != 0 {
			now.Children = append(now.Children, st.identity)
		}
	}
	if err := state.WriteJSON(s.layout.Processes(), now); err != nil {
		s.log.Warn("recording the processes", "error", err)
	}
}

// status is the whole picture. Measuring memory takes the kernel a while, so it is only done where usage is asked for.
func (s *supervisor) status(usage bool) Status {
	s.mu.Lock()
	st := Status{
		Schema:     state.Schema,
		Program:    s.spec.Program,
		PID:        os.Getpid(),
		Failed:     s.failed,
		Doing:      s.doing,
		Kubernetes: version.Get().GitVersion,
		Restored:   s.restored,
		Saving:     s.saving,
		Simulated:  []string{},
		Endpoints:  map[string]string{},
		Ports:      state.Ports{},
	}
	for name, port := range s.ports {
		st.Ports[name] = port
	}
	s.mu.Unlock()

	self := ChildStatus{Name: "supervise", PID: os.Getpid(), State: "running"}
	if usage {
		self.measure()
	}
	st.Processes = append(st.Processes, self)
	children := s.all()
	st.Ready = len(children) > 0
	for _, c := range children {
		cs := c.status()
		if usage {
			cs.measure()
		}
		st.Processes = append(st.Processes, cs)
		if !essential(c.name) {
			continue
		}
		st.Ready = st.Ready && c.up.IsOpen()
		if cs.Failed != "" && st.Failed == "" {
			st.Failed = cs.Failed
		}
		if st.Doing == "" && !c.up.IsOpen() {
			st.Doing = "waiting for " + c.name
		}
	}
	if st.Ready {
		st.Endpoints["kubernetes"] = "https://" + st.Ports.Address(portAPIServer)
	}
	st.Simulated = append(st.Simulated, s.simulated()...)
	return st
}

func (s *supervisor) all() []*child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.children
}

func (s *supervisor) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *supervisor) phase(doing string) { s.set(func() { s.doing = doing }) }

// port returns the port of name and writes the ports down if it is a new one.
func (s *supervisor) port(name string) (port int, changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	port, changed, err = s.ports.Keep(name)
	if err != nil || !changed {
		return port, changed, err
	}
	return port, changed, state.WriteJSON(s.layout.Ports(), s.ports)
}

func (s *supervisor) address(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ports.Address(name)
}

// lock makes sure that one supervisor alone works in the folder.
func lock(file string) (unlock func(), err error) {
	// The folder is idp's to make: `idp down` may have removed it meanwhile.
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := io.ReadAll(io.LimitReader(f, 20))
		_ = f.Close()
		return nil, fmt.Errorf("the supervisor with process id %s runs this cluster already (%s): %w", pid, file, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprint(f, os.Getpid()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}
