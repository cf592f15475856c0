package supervisor

import (
	"context"
	"sync"
)

// gate is a condition that others can wait for. The zero value is closed.
type gate struct {
	mu     sync.Mutex
	open   bool
	opened chan struct{}
}

// Open lets waiters through until the next Close.
func (g *gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		return
	}
	g.open = true
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// Close makes waiters wait again.
func (g *gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = false
}

// IsOpen says whether Wait would return at once.
func (g *gate) IsOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// Wait returns when the gate is open or ctx is done.
func (g *gate) Wait(ctx context.Context) error {
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return nil
	}
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	opened := g.opened
	g.mu.Unlock()
	select {
	case <-opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
