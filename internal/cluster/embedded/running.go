package embedded

import (
	"context"
	"fmt"
	"time"
)

// runningBound is how long the processes that start after the control plane may take.
const runningBound = 2 * time.Minute

// AwaitRunning waits until every process of a started cluster runs, Argo CD's included. These wait for what the platform
// installs; Up doesn't wait for them. A cluster from a snapshot shows what Argo CD said before it was taken, whether it runs or not.
func (p *Provider) AwaitRunning(ctx context.Context) error {
	missing := ""
	ctx, cancel := context.WithTimeoutCause(ctx, runningBound, fmt.Errorf("waited %s: %w", runningBound, context.DeadlineExceeded))
	defer cancel()
	for {
		st, err := p.control().status(ctx)
		if err == nil {
			if missing = st.notRunning(); missing == "" {
				return nil
			}
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			if missing == "" {
				return fmt.Errorf("waiting for the processes of cluster %s: %w", p.spec.Name, context.Cause(ctx))
			}
			return fmt.Errorf("cluster %s: %s: %w; its log is in %s", p.spec.Name, missing, context.Cause(ctx), p.spec.file("logs"))
		}
	}
}

// notRunning names the first process that doesn't run, and says what it does instead.
func (s status) notRunning() string {
	for _, process := range s.Processes {
		if process.State != "running" {
			text := process.Name + " is " + process.State
			if process.Waiting != "" {
				text += " for " + process.Waiting
			}
			return text
		}
	}
	return ""
}
