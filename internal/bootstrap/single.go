package bootstrap

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
)

// Standing is how one layer stands on a cluster before a run.
type Standing struct {
	Name  string `json:"name"`
	Key   string `json:"key"`
	State State  `json:"state"` // cached, or pending
	// Turn is the one that brought the layer while it is cached, and else a new one, which no other has. Whoever keeps the result of
	// work on a layer under this name never takes a result for one that still stands when it doesn't, also after a way there and back.
	Turn string `json:"turn"`
	// Replaces says that the turn comes after another, some of whose objects may have moved to other layers.
	Replaces bool `json:"replaces"`
}

// Stand says of each step what Run would make of it. It writes nothing.
func (r *Runner) Stand(ctx context.Context, steps []Step) ([]Standing, error) {
	known, err := recordsByLayer(ctx, r.Records)
	if err != nil {
		return nil, err
	}
	unwell, err := r.unwell(ctx, steps, known)
	if err != nil {
		return nil, err
	}
	standings := make([]Standing, len(steps))
	for i, s := range steps {
		record, recorded := known[s.Layer.Name]
		standings[i] = Standing{Name: s.Layer.Name, Key: s.Key, State: StatePending, Turn: rand.Text(), Replaces: recorded}
		if cached(s, known) && !unwell[s.Layer.Name] {
			standings[i].State, standings[i].Turn, standings[i].Replaces = StateCached, record.Turn, record.Replaced
		}
	}
	return standings, nil
}

// Single is one layer to be brought up alone.
type Single struct {
	Step
	Needed map[string]string // the keys that the layers it needs must be recorded with
	Others []Step            // the other layers, with as much of their objects as tells which they are: what has moved there isn't pruned
	Turn   string            // recorded with it
}

// RunOne brings one layer to its step, as a run with nothing else to do would, and removes no layer.
func (r *Runner) RunOne(ctx context.Context, one Single) (Outcome, error) {
	s := one.Step
	pending := pendingOutcomes([]Step{s})[0]
	if s.Key == "" {
		return pending, fmt.Errorf("layer %s has no key", s.Layer.Name)
	}
	known, err := recordsByLayer(ctx, r.Records)
	if err != nil {
		return pending, err
	}
	if err := unmet(s, one.Needed, known); err != nil {
		return pending, err
	}
	unwell, err := r.unwell(ctx, []Step{s}, known)
	if err != nil {
		return pending, err
	}
	if x := r.newRun([]Step{s}, known, unwell); x.outcomes[s.Layer.Name].State == StateCached {
		x.announce()
		return *x.outcomes[s.Layer.Name], nil
	}
	held, release, err := r.Records.Lock(ctx, r.lockProgress(1))
	if err != nil {
		return pending, err
	}
	defer release()
	if known, err = recordsByLayer(held, r.Records); err != nil {
		return pending, err
	}
	x := r.newRun([]Step{s}, known, unwell)
	x.others, x.turn = one.Others, one.Turn
	x.announce()
	if outcome := x.outcomes[s.Layer.Name]; outcome.State != StateCached {
		x.applyLayer(held, s)
	}
	return *x.outcomes[s.Layer.Name], errors.Join(x.errs...)
}

// unmet names the needs that aren't done with the keys that the step was made for.
func unmet(s Step, needed map[string]string, known map[string]Record) error {
	var missing []error
	for _, name := range s.Layer.Needs {
		record, ok := known[name]
		switch {
		case !ok || !record.Done:
			missing = append(missing, fmt.Errorf("layer %s needs %s, which isn't done on this cluster: apply it first", s.Layer.Name, name))
		case record.Key != needed[name]:
			missing = append(missing, fmt.Errorf("layer %s needs %s as it is in this checkout, and the cluster has another state of it: apply it first", s.Layer.Name, name))
		}
	}
	return errors.Join(missing...)
}
