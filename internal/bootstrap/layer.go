package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/idp-blueprint/idp/internal/apply"
)

const (
	// defaultTimeout bounds a layer that doesn't say.
	defaultTimeout = 5 * time.Minute
	// snapshotTimeout bounds the keeping of a snapshot, which is worth less than the run.
	snapshotTimeout = time.Minute
)

// applyLayer runs one layer from its first write to its snapshot.
func (x *run) applyLayer(ctx context.Context, s Step) {
	started := time.Now()
	x.emit(s.Layer.Name, stateRunning, "", 0)
	bound := cmp.Or(s.Layer.Timeout, defaultTimeout)
	changed, err := x.bringUp(ctx, s, started, bound)
	seconds := time.Since(started).Seconds()
	if err != nil {
		x.settle(s, StateFailed, changed, seconds, fmt.Errorf("layer %s%s: %w", s.Layer.Name, boundNote(ctx, err, bound), err))
		return
	}
	x.settle(s, StateApplied, changed, seconds, nil)
	x.emit(s.Layer.Name, string(StateApplied), x.snapshot(ctx), seconds)
}

// boundNote says which bound was reached, if it was the layer's own.
func boundNote(run context.Context, err error, bound time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) && run.Err() == nil {
		return fmt.Sprintf(" (not done within %s)", bound)
	}
	return ""
}

// bringUp applies a layer, prunes what it no longer has and waits for its gates. Before its first write everything that may
// be in the cluster because of the layer, from former runs and from this one, stands in its record: whatever happens then,
// here or in a cluster restored from a snapshot of this moment, the next run knows what to clean up.
func (x *run) bringUp(ctx context.Context, s Step, started time.Time, bound time.Duration) (changed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	current, err := x.Applier.Refs(ctx, s.Objects, s.Layer.Namespace)
	if err != nil {
		return 0, err
	}
	before, replaced := x.known[s.Layer.Name]
	previous := before.Objects
	record := Record{
		Layer: s.Layer.Name, Key: s.Key, Schema: Schema, Needs: s.Layer.Needs, HandOver: s.Layer.HandOver,
		Objects: apply.Union(previous, current), Turn: x.turn, Replaced: replaced,
	}
	if err := x.Records.Put(ctx, record); err != nil {
		return 0, err
	}
	say := func(text string) { x.emit(s.Layer.Name, stateWaiting, text, time.Since(started).Seconds()) }
	result, err := x.applyAndSeed(ctx, s, apply.Options{
		Component: s.Layer.Path, Namespace: s.Layer.Namespace, Previous: previous, Progress: say,
	})
	if err != nil {
		return result.Changed(), err
	}
	result.Pruned, err = x.prune(ctx, record.Objects, current)
	if err != nil {
		return result.Changed(), err
	}
	if err := x.Applier.Ready(ctx, s.Layer.Gates, s.Objects, say); err != nil {
		return result.Changed(), err
	}
	record.Done, record.Objects, record.Changed = true, current, result.Changed()
	record.Seconds = time.Since(started).Seconds()
	return result.Changed(), x.Records.Put(ctx, record)
}

// prune deletes what is recorded and neither in current nor in another layer, to which it may have moved.
func (x *run) prune(ctx context.Context, recorded, current []apply.ObjectRef) ([]apply.ObjectRef, error) {
	if len(recorded) == len(current) { // recorded holds current, so this is the usual case: they are the same
		return nil, nil
	}
	for _, s := range append(slices.Clone(x.steps), x.others...) {
		refs, err := x.Applier.Refs(ctx, s.Objects, s.Layer.Namespace)
		if err != nil {
			return nil, err
		}
		current = apply.Union(current, refs)
	}
	return x.Applier.Prune(ctx, recorded, current)
}

// snapshot keeps the state of the cluster with the layers that are done by now. What goes wrong is worth a word, no failure.
func (x *run) snapshot(ctx context.Context) (warning string) {
	if x.Snapshots == nil {
		return ""
	}
	x.saving.Lock()
	defer x.saving.Unlock()
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	if err := x.Snapshots.Save(ctx, x.doneKeys()); err != nil {
		return "no snapshot kept: " + err.Error()
	}
	return ""
}
