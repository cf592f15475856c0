package bootstrap

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// run is one call of Run.
type run struct {
	*Runner
	steps    []Step
	others   []Step // layers that this run leaves alone; what they hold isn't pruned
	turn     string
	known    map[string]Record
	settled  map[string]chan struct{} // by layer; closed once its outcome stands
	emitting sync.Mutex               // also orders events and the counts in them
	saving   sync.Mutex               // one snapshot at a time

	mu       sync.Mutex
	outcomes map[string]*Outcome
	failed   bool
	errs     []error
}

// newRun decides which layers are cached.
func (r *Runner) newRun(steps []Step, known map[string]Record, unwell map[string]bool) *run {
	x := &run{Runner: r, steps: steps, known: known, settled: map[string]chan struct{}{}, outcomes: map[string]*Outcome{}}
	for i, outcome := range pendingOutcomes(steps) {
		name := outcome.Name
		x.settled[name] = make(chan struct{})
		if cached(steps[i], known) && !unwell[name] {
			outcome.State = StateCached
			close(x.settled[name])
		}
		x.outcomes[name] = &outcome
	}
	return x
}

func (x *run) nothingToDo() bool {
	for _, outcome := range x.outcomes {
		if outcome.State != StateCached {
			return false
		}
	}
	return len(x.departed()) == 0
}

// conclude is what Run returns: the outcomes in the order of the steps.
func (x *run) conclude() ([]Outcome, error) {
	outcomes := make([]Outcome, len(x.steps))
	for i, s := range x.steps {
		outcomes[i] = *x.outcomes[s.Layer.Name]
	}
	return outcomes, errors.Join(x.errs...)
}

// announce shows every layer once, before any of them runs.
func (x *run) announce() {
	for _, s := range x.steps {
		x.emit(s.Layer.Name, string(x.outcomes[s.Layer.Name].State), "", 0)
	}
}

// applyLayers runs the layers that aren't cached, each after those that it needs.
func (x *run) applyLayers(ctx context.Context) {
	x.announce()
	var all sync.WaitGroup
	for _, s := range x.steps {
		if x.outcomes[s.Layer.Name].State == StateCached {
			continue
		}
		all.Go(func() {
			defer close(x.settled[s.Layer.Name])
			for _, need := range s.Layer.Needs {
				<-x.settled[need]
			}
			if x.mayStart(ctx, s) {
				x.applyLayer(ctx, s)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil && len(x.errs) == 0 {
		x.errs = append(x.errs, err)
	}
}

// mayStart says whether a layer's needs are done, and nothing has failed or ended meanwhile.
func (x *run) mayStart(ctx context.Context, s Step) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failed || ctx.Err() != nil {
		return false
	}
	for _, need := range s.Layer.Needs {
		if state := x.outcomes[need].State; state != StateApplied && state != StateCached {
			return false
		}
	}
	return true
}

// doneKeys are the keys of the layers that are done, by name.
func (x *run) doneKeys() map[string]string {
	x.mu.Lock()
	defer x.mu.Unlock()
	keys := map[string]string{}
	for name, outcome := range x.outcomes {
		if outcome.State == StateApplied || outcome.State == StateCached {
			keys[name] = outcome.Key
		}
	}
	return keys
}

// settle records what became of a layer and tells the watcher.
func (x *run) settle(s Step, state State, changed int, seconds float64, err error) {
	x.mu.Lock()
	outcome := x.outcomes[s.Layer.Name]
	outcome.State, outcome.Changed, outcome.Seconds, outcome.Err = state, changed, seconds, err
	if err != nil {
		x.failed = true
		x.errs = append(x.errs, err)
	}
	x.mu.Unlock()
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		x.emit(s.Layer.Name, string(state), first, seconds)
	}
}

func (x *run) emit(layer, state, message string, seconds float64) {
	if x.Emit == nil {
		return
	}
	x.emitting.Lock()
	defer x.emitting.Unlock()
	x.Emit(Event{
		Time: time.Now(), Layer: layer, State: state, Message: message, Seconds: seconds,
		Done: len(x.doneKeys()), Total: len(x.steps),
	})
}
