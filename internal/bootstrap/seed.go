package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/platform"
)

// Seeder brings a secret store to its declaration, within ctx. It waits for the store's pods, which in turn aren't ready before the
// store is initialised and unsealed.
type Seeder interface {
	Seed(ctx context.Context, declared *platform.Secrets, say func(string)) error
	// Sound looks whether the store is there, open and as declared. It changes nothing.
	Sound(ctx context.Context, declared *platform.Secrets) (bool, error)
}

// soundBound is how long a store may take to say how it is; one that is well does so at once.
const soundBound = 5 * time.Second

// unsound are the cached layers whose store is gone, sealed or another one. Argo CD puts their objects back, and can't put back what a
// store holds.
func (r *Runner) unsound(ctx context.Context, steps []Step, known map[string]Record) (map[string]bool, error) {
	found := map[string]bool{}
	for _, s := range steps {
		declared := s.Layer.Secrets()
		if declared == nil || r.Seeder == nil || !cached(s, known) {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, soundBound)
		sound, err := r.Seeder.Sound(bounded, declared)
		late := bounded.Err() != nil && ctx.Err() == nil
		cancel()
		if err != nil && !late {
			return nil, fmt.Errorf("looking at the secret store of layer %s: %w", s.Layer.Name, err)
		}
		if !sound {
			found[s.Layer.Name] = true
		}
	}
	return found, nil
}

// errSeeding is the cause of the end of an apply whose store can't be seeded.
var errSeeding = errors.New("its secret store can't be set up")

// applyAndSeed applies a layer; a secret store that it declares is set up at the same time, since neither is done before the other.
func (x *run) applyAndSeed(ctx context.Context, s Step, o apply.Options) (apply.Result, error) {
	declared := s.Layer.Secrets()
	if declared == nil || x.Seeder == nil {
		return x.Applier.Apply(ctx, s.Objects, o)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var seeding sync.WaitGroup
	var seedErr error
	seeding.Go(func() {
		if seedErr = x.Seeder.Seed(ctx, declared, o.Progress); seedErr != nil {
			cancel(errSeeding)
		}
	})
	result, err := x.Applier.Apply(ctx, s.Objects, o)
	if err != nil {
		cancel(err)
	}
	seeding.Wait()
	switch {
	case errors.Is(context.Cause(ctx), errSeeding):
		return result, seedErr
	case err != nil:
		return result, err
	}
	return result, seedErr
}
