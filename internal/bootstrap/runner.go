package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Runner brings the layers of a platform up on one cluster.
type Runner struct {
	Applier   Applier
	Records   Records
	Snapshots Snapshotter // nil: none are kept
	Seeder    Seeder      // nil: gates that want a secret store seeded are left out
	Emit      func(Event) // nil: nobody watches. Never called by two goroutines at once.
}

// Run brings every layer to its step and removes the layers that are recorded and no longer among the steps. Steps are in an
// order in which each comes after the layers it needs, and all carry their keys.
//
// A layer whose recorded key matches is cached. With all of them cached Run makes one request, a list of the records, and
// writes nothing. The record is trusted once the layer of the hand-over is done, since from then on Argo CD puts back what gets
// lost. Before that the objects of cached layers are looked up, and a layer that lacks one is applied.
//
// When a layer fails, layers that run are finished and no other is started. The outcomes are complete in any case, one a
// step; the error joins those of the layers.
//
// A secret store that a layer declares is looked at also where the layer is cached: the layer of one that isn't well is applied.
func (r *Runner) Run(ctx context.Context, steps []Step) ([]Outcome, error) {
	if err := checkSteps(steps); err != nil {
		return nil, err
	}
	known, err := recordsByLayer(ctx, r.Records)
	if err != nil {
		return pendingOutcomes(steps), err
	}
	unwell, err := r.unwell(ctx, steps, known)
	if err != nil {
		return pendingOutcomes(steps), err
	}
	if x := r.newRun(steps, known, unwell); x.nothingToDo() {
		x.announce()
		return x.conclude()
	}
	held, release, err := r.Records.Lock(ctx, r.lockProgress(len(steps)))
	if err != nil {
		return pendingOutcomes(steps), err
	}
	defer release()
	// Whoever held the lock until now may have done part of the work, or all of it.
	if known, err = recordsByLayer(held, r.Records); err != nil {
		return pendingOutcomes(steps), err
	}
	x := r.newRun(steps, known, unwell)
	x.applyLayers(held)
	x.removeLayers(held)
	return x.conclude()
}

// checkSteps finds what would make a run wait for itself, or remove a whole platform by mistake.
func checkSteps(steps []Step) error {
	if len(steps) == 0 {
		return errors.New("no layers: a run would remove everything that is recorded; IT/layers.yaml has to name at least one")
	}
	var before []string
	for _, s := range steps {
		for _, need := range s.Layer.Needs {
			if !slices.Contains(before, need) {
				return fmt.Errorf("layer %s needs %s, which doesn't come before it", s.Layer.Name, need)
			}
		}
		if slices.Contains(before, s.Layer.Name) || s.Key == "" {
			return fmt.Errorf("layer %s is there twice, or has no key", s.Layer.Name)
		}
		before = append(before, s.Layer.Name)
	}
	return nil
}

// unwell are the cached layers that have to be applied all the same: the damaged ones, and those whose secret store is unsound.
func (r *Runner) unwell(ctx context.Context, steps []Step, known map[string]Record) (map[string]bool, error) {
	damaged, err := r.damaged(ctx, steps, known)
	if err != nil {
		return nil, err
	}
	unsound, err := r.unsound(ctx, steps, known)
	if err != nil {
		return nil, err
	}
	maps.Copy(damaged, unsound)
	return damaged, nil
}

// damaged are the cached layers that lack an object, while nothing else would put it back.
func (r *Runner) damaged(ctx context.Context, steps []Step, known map[string]Record) (map[string]bool, error) {
	found := map[string]bool{}
	for _, record := range known {
		if record.HandOver && record.Done {
			return found, nil
		}
	}
	for _, s := range steps {
		if !cached(s, known) {
			continue
		}
		missing, err := r.Applier.Missing(ctx, s.Objects, s.Layer.Namespace)
		if err != nil {
			return nil, fmt.Errorf("looking for the objects of layer %s: %w", s.Layer.Name, err)
		}
		if len(missing) > 0 {
			found[s.Layer.Name] = true
		}
	}
	return found, nil
}

func cached(s Step, known map[string]Record) bool {
	record, ok := known[s.Layer.Name]
	return ok && record.Done && record.Key == s.Key && record.Schema == Schema
}

func (r *Runner) lockProgress(total int) func(string) {
	return func(text string) {
		if r.Emit != nil {
			r.Emit(Event{Time: time.Now(), State: stateWaiting, Message: text, Total: total})
		}
	}
}

func pendingOutcomes(steps []Step) []Outcome {
	outcomes := make([]Outcome, len(steps))
	for i, s := range steps {
		outcomes[i] = Outcome{Name: s.Layer.Name, Key: s.Key, State: StatePending, Objects: len(s.Objects)}
	}
	return outcomes
}
