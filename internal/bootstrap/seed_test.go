package bootstrap

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/platform"
)

type fakeSeeder func(ctx context.Context) error

func (f fakeSeeder) Sound(context.Context, *platform.Secrets) (bool, error) { return true, nil }

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

// looker is a store of which a run only sees how it is.
type looker struct {
	sound  bool
	err    error
	seeded *int
}

func (l looker) Seed(context.Context, *platform.Secrets, func(string)) error { *l.seeded++; return nil }
func (l looker) Sound(context.Context, *platform.Secrets) (bool, error)      { return l.sound, l.err }

// Nothing but idp puts a store back: a run looks at it also where everything is cached, and writes only if it isn't well.
func TestAStoreIsLookedAtWhereItsLayerIsCached(t *testing.T) {
	for name, c := range map[string]struct {
		look   looker
		state  State
		seeded int
		says   string
	}{
		"well":            {looker{sound: true}, StateCached, 1, ""},
		"sealed or wiped": {looker{sound: false}, StateApplied, 2, ""},
		"no answer":       {looker{err: errors.New("refused")}, StateCached, 1, "looking at the secret store of layer " + withStore()[0].Layer.Name},
	} {
		t.Run(name, func(t *testing.T) {
			f, seeded := newFakeCluster(), 0
			runner := f.runner()
			runner.Seeder = looker{sound: true, seeded: &seeded}
			_, err := runner.Run(t.Context(), withStore())
			require.NoError(t, err)
			c.look.seeded = &seeded
			runner.Seeder = c.look
			outcomes, err := runner.Run(t.Context(), withStore())
			require.Equal(t, c.seeded, seeded)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.state, outcomes[0].State)
			for _, other := range outcomes[1:] {
				require.Equal(t, StateCached, other.State, other.Name)
			}
		})
	}
}

// A store that doesn't say how it is isn't well.
func TestASilentStoreIsSetUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, seeded := newFakeCluster(), 0
		runner := f.runner()
		runner.Seeder = looker{sound: true, seeded: &seeded}
		_, err := runner.Run(t.Context(), withStore())
		require.NoError(t, err)
		runner.Seeder = silent{looker{seeded: &seeded}}
		outcomes, err := runner.Run(t.Context(), withStore())
		require.NoError(t, err)
		require.Equal(t, StateApplied, outcomes[0].State)
		require.Equal(t, 2, seeded)
	})
}

type silent struct{ looker }

func (silent) Sound(ctx context.Context, _ *platform.Secrets) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}
