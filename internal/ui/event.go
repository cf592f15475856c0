// Package ui turns one stream of events into what its reader wants: a live view on a terminal, plain lines in a log, or one
// JSON document a line for programs.
package ui

import "time"

// The phases of a run, in the order in which they usually come.
const (
	PhaseCharts      = "charts"
	PhaseBuild       = "build"
	PhaseCluster     = "cluster"
	PhasePublish     = "publish"
	PhaseLayer       = "layer"
	PhaseApplication = "application"
	PhaseNote        = "note" // a warning or a hint that belongs to no phase
)

// The states that mean "nothing more will come of this name".
const (
	StateRunning = "running"
	StateWaiting = "waiting"
	StatePending = "pending"
	StateDone    = "done"
	StateApplied = "applied"
	StateCached  = "cached"
	StateFailed  = "failed"
)

// Event is one thing that happened. Phase and Name together say to what; a later event with the same two replaces the
// earlier one in the live view.
type Event struct {
	Time    time.Time `json:"time"`
	Phase   string    `json:"phase"`
	Group   string    `json:"group,omitempty"` // the stack of an Application
	Name    string    `json:"name,omitempty"`
	State   string    `json:"state"`
	Message string    `json:"message,omitempty"`
	Done    int       `json:"done,omitempty"`
	Total   int       `json:"total,omitempty"`
	Seconds float64   `json:"seconds,omitempty"`
}

// Settled reports whether the event is the last one of its name.
func (e Event) Settled() bool {
	switch e.State {
	case StateDone, StateApplied, StateCached, StateFailed:
		return true
	}
	return false
}

// key is what later events of the same thing have in common.
func (e Event) key() string { return e.Phase + "\x00" + e.Group + "\x00" + e.Name }

// View shows events. Show may be called from several goroutines; Close leaves the output in a state that other text can follow.
type View interface {
	Show(Event)
	Close()
}
