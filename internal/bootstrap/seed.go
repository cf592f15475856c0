package bootstrap

import (
	"context"
	"errors"
	"sync"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/platform"
)

// Seeder brings a secret store to its declaration, within ctx. It waits for the store's pods, which in turn aren't ready before the
// store is initialised and unsealed.
type Seeder interface {
	Seed(ctx context.Context, declared *platform.Secrets, say func(string)) error
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
