package supervisor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/idp-blueprint/idp/embedded/lifeline"
	"github.com/idp-blueprint/idp/embedded/state"
)

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// A child that lived this long was healthy: its next failure counts as the first one.
	healthyLife = 20 * time.Second
	// After so many failures in a row a child is reported as failed, with the end of its log; it is still tried again.
	failuresToReport = 4
	stopGrace        = 5 * time.Second
)

// child is one process that is kept running.
type child struct {
	name string
	// before returns when the child may start. It calls waiting with what it waits for.
	before func(ctx context.Context, waiting func(string)) error
	// args are made anew for every start: a port may have changed.
	args func() ([]string, error)
	env  func() []string
	// after returns when the child does its work; nil: as soon as it runs.
	after func(ctx context.Context) error
	// stopOnPanic: see supervisor.restart.
	up gate

	mu  sync.Mutex
	now ChildStatus
	cmd *exec.Cmd
	bad int // failures in a row
}

// runner starts children.
type runner struct {
	layout  state.Layout
	program string
	line    *lifeline.Line
	changed func() // called after a child started or ended
}

// keep runs c until ctx is done: it starts it, waits for its end and starts it again.
func (r *runner) keep(ctx context.Context, c *child) {
	log := &lumberjack.Logger{Filename: r.layout.Log(c.name), MaxSize: 10, MaxBackups: 2}
	defer func() { _ = log.Close() }()
	backoff := firstBackoff
	for ctx.Err() == nil {
		started := time.Now()
		err := r.once(ctx, c, log, func() { started = time.Now() })
		c.up.Close()
		if ctx.Err() != nil {
			break
		}
		if time.Since(started) > healthyLife {
			backoff = firstBackoff
			c.note(func() { c.bad = 0 })
		}
		c.note(func() {
			c.bad++
			c.now.PID, c.now.State, c.now.Restarts = 0, "restarting", c.now.Restarts+1
			c.now.LastExit = err.Error()
			if c.bad >= failuresToReport {
				c.now.Failed = fmt.Sprintf("%s does not stay up (%v); the end of %s:\n%s", c.name, err, log.Filename, tail(log.Filename, 12))
			}
		})
		r.changed()
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
	c.note(func() { c.now.PID, c.now.State = 0, "stopped" })
}

// once runs c from waiting to its end. It always returns an error, which says how it ended.
func (r *runner) once(ctx context.Context, c *child, log *lumberjack.Logger, started func()) error {
	c.note(func() { c.now.State = "waiting" })
	if c.before != nil {
		waiting := func(what string) { c.note(func() { c.now.Waiting = what }) }
		if err := c.before(ctx, waiting); err != nil {
			return err
		}
		waiting("")
	}
	args, err := c.args()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, r.program, append([]string{c.name}, args...)...)
	cmd.Dir = r.layout.Dir
	cmd.Env = c.env()
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own, so that an orphan's helpers can be ended with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	r.line.Attach(cmd)
	started()
	if err := cmd.Start(); err != nil {
		return err
	}
	identity, err := state.Identify(c.name, cmd.Process.Pid)
	if err != nil {
		identity = state.Process{Name: c.name, PID: cmd.Process.Pid}
	}
	c.note(func() {
		c.cmd = cmd
		c.now.PID, c.now.State, c.now.Started, c.now.identity = identity.PID, "starting", time.Now().UTC(), identity
	})
	r.changed()

	ended := make(chan struct{})
	probing, cancel := context.WithCancel(ctx)
	go func() {
		defer close(ended)
		if c.after != nil && c.after(probing) != nil {
			return
		}
		c.note(func() { c.now.State, c.now.Failed = "running", "" })
		c.up.Open()
		r.changed()
	}()
	err = cmd.Wait()
	cancel()
	<-ended
	if err == nil {
		err = fmt.Errorf("it ended by itself")
	}
	return err
}

// kill ends the child's process at once; keep starts it again.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil && c.now.PID != 0 {
		_ = c.cmd.Process.Kill()
	}
}

// status is a copy of what is known about the child.
func (c *child) status() ChildStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.now
	s.Name = c.name
	return s
}

func (c *child) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// tail is the end of a file, at most so many lines of it.
func tail(file string, lines int) string {
	f, err := os.Open(file)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	const most = 8 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, 2)
	}
	return lastLines(f, lines)
}
