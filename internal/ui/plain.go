package ui

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressEvery bounds how often a plain view repeats a counter: a log wants milestones, not every tick.
const progressEvery = 15 * time.Second

// Plain writes one line for each change of state, and a counter's progress now and then.
type Plain struct {
	mu   sync.Mutex
	w    io.Writer
	last map[string]Event
}

// NewPlain returns a view for logs and pipes.
func NewPlain(w io.Writer) *Plain {
	return &Plain{w: w, last: map[string]Event{}}
}

// Show writes the event's line where it says something new.
func (p *Plain) Show(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := e.key()
	before, known := p.last[key]
	if known && !p.worthALine(before, e) {
		return
	}
	p.last[key] = e
	fmt.Fprintln(p.w, line(e))
}

func (p *Plain) worthALine(before, e Event) bool {
	if before.State != e.State {
		return true
	}
	if e.Total > 0 {
		return e.Time.Sub(before.Time) >= progressEvery
	}
	return before.Message != e.Message
}

// Close does nothing: every line is complete as it stands.
func (p *Plain) Close() {}

// line is the one-line form of an event, shared by the plain view and the live view's finished lines.
func line(e Event) string {
	text := fmt.Sprintf("%s %-11s", mark(e.State), e.Phase)
	if e.Name != "" {
		text += fmt.Sprintf(" %-36s", label(e))
	}
	if e.Phase == PhaseLayer || e.Phase == PhaseApplication {
		text += fmt.Sprintf(" %-8s", e.State)
	}
	if e.Total > 0 {
		text += fmt.Sprintf(" %d/%d", e.Done, e.Total)
	}
	if e.Message != "" {
		text += " " + e.Message
	}
	if e.Seconds > 0 {
		text += fmt.Sprintf(" (%.1fs)", e.Seconds)
	}
	return text
}

func label(e Event) string {
	if e.Group != "" {
		return e.Group + "/" + e.Name
	}
	return e.Name
}

func mark(state string) string {
	switch state {
	case StateDone, StateApplied, StateCached:
		return "✓"
	case StateFailed:
		return "✗"
	}
	return "•"
}
