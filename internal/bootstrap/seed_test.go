package bootstrap

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/platform"
)

type fakeSeeder func(ctx context.Context) error

func (f fakeSeeder) Seed(ctx context.Context, _ *platform.Secrets, say func(string)) error {
	say("seeding")
	return f(ctx)
}

func withStore() []Step {
	steps := diamond()
	steps[0].Layer.Gates = append(steps[0].Layer.Gates, platform.Gate{Seeded: &platform.Secrets{}})
	return steps
}

// The pods of a store are ready once it is seeded, and it is seeded once its pods run.
func TestSeedingRunsBesideTheApply(t *testing.T) {
	f := newFakeCluster()
	seeded, applying := make(chan struct{}), make(chan struct{})
	f.before = func(what string) {
		if what == "apply "+withStore()[0].Layer.Name {
			close(applying)
			<-seeded
		}
	}
	runner := f.runner()
	runner.Seeder = fakeSeeder(func(context.Context) error {
		<-applying
		close(seeded)
		return nil
	})
	outcomes, err := runner.Run(t.Context(), withStore())
	require.NoError(t, err)
	require.Equal(t, StateApplied, outcomes[0].State)
}

func TestALayerWhoseStoreCannotBeSeededFails(t *testing.T) {
	f := newFakeCluster()
	runner := f.runner()
	runner.Seeder = fakeSeeder(func(context.Context) error { return errors.New("the keys don't fit") })
	outcomes, err := runner.Run(t.Context(), withStore())
	require.ErrorContains(t, err, "the keys don't fit")
	require.Equal(t, StateFailed, outcomes[0].State)
	require.Equal(t, StatePending, outcomes[1].State)
}

func TestSeedingEndsWithTheApply(t *testing.T) {
	f := newFakeCluster()
	f.fail["apply "+withStore()[0].Layer.Name] = errors.New("refused")
	runner := f.runner()
	runner.Seeder = fakeSeeder(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	_, err := runner.Run(t.Context(), withStore())
	require.ErrorContains(t, err, "refused")
}
