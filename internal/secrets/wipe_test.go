package secrets

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

// byHand is a store that somebody sets up beside idp, with a value in it; read gives that value, once the store is open again.
func (b *bench) byHand() (read func() any) {
	t := b.t
	t.Helper()
	client := b.client("")
	made, err := client.Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	require.NoError(t, err)
	b.open(made.KeysB64)
	client.SetToken(made.RootToken)
	require.NoError(t, client.Sys().Mount(kvMount, &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}))
	read = func() any {
		b.open(made.KeysB64)
		var answer *api.Secret
		require.True(t, assertSoon(func() bool {
			answer, err = client.Logical().Read("secret/data/a/admin")
			return err == nil
		}))
		require.NotNil(t, answer)
		return answer.Data["data"].(map[string]any)["mine"]
	}
	require.True(t, assertSoon(func() bool {
		_, err = client.Logical().Write("secret/data/a/admin", map[string]any{"data": map[string]any{"mine": "dear"}})
		return err == nil
	}))
	require.Equal(t, "dear", read())
	return read
}

// A run that was killed may have left a store whose key nobody has; it is emptied. Nothing else ever is: not what somebody has set up
// by hand in the meantime, and not what a state that comes from a backup says to be half done.
func TestNothingButAnUnfinishedStoreIsWiped(t *testing.T) { onServers(t, onFiles, wipes) }

func wipes(t *testing.T, fresh func() *bench) {
	// half is the state from just before the request that initialises.
	half := func(b *bench) State {
		return State{Phase: PhaseInitialising, Servers: map[string]Server{"store-0": b.server.Identity()}}
	}
	finished := func(b *bench) func() any {
		_, err := b.store(small).Reconcile(t.Context())
		require.NoError(t, err)
		keys, before := b.state.Keys, b.seen("a/admin")
		return func() any {
			b.open(keys)
			require.Equal(t, before, b.seen("a/admin"))
			return "dear"
		}
	}
	for name, c := range map[string]struct {
		make func(b *bench) (read func() any)
		says string
	}{
		"somebody goes on by hand": {func(b *bench) func() any {
			b.state = half(b)
			return b.byHand()
		}, "somebody else has initialised it"},
		"somebody has gone on by hand, and it restarted": {func(b *bench) func() any {
			b.state = half(b)
			read := b.byHand()
			b.server.Restart(t)
			return read
		}, "has restarted since"},
		"a state from a backup": {func(b *bench) func() any {
			read := finished(b)
			b.state = half(b)
			return read
		}, "somebody else has initialised it"},
		"a state from a backup, and it restarted": {func(b *bench) func() any {
			backup := half(b)
			read := finished(b)
			b.state = backup
			b.server.Restart(t)
			return read
		}, "has restarted since"},
		"a state from a backup that has the keys, and no login": {func(b *bench) func() any {
			backup := half(b)
			read := finished(b)
			backup.Keys = b.state.Keys
			b.state = backup
			_, err := b.asSetup().Logical().Delete("auth/kubernetes/role/" + setupName)
			require.NoError(t, err)
			b.server.Restart(t)
			return read
		}, "has restarted since"},
		"a state that knows no servers": {func(b *bench) func() any {
			read := finished(b)
			b.server.Restart(t)
			b.state = State{Phase: PhaseInitialising}
			return read
		}, "has restarted since"},
	} {
		t.Run(name, func(t *testing.T) {
			b := fresh()
			b.wipes = 0
			read := c.make(b)
			_, err := b.store(small).Reconcile(t.Context())
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, anew, "what to do")
			require.Zero(t, b.wipes)
			require.Equal(t, "dear", read())
		})
	}
}

// A server that can't be reached may be open by now.
func TestASilentServerIsWaitedForBeforeAnythingIsWiped(t *testing.T) {
	b := newBench(t, newStandIn())
	b.state = State{Phase: PhaseInitialising, Servers: map[string]Server{"store-0": b.server.Identity(), "store-1": {}}}
	_, err := b.client("").Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	require.NoError(t, err)
	b.extra = []Member{{Name: "store-1", Err: errors.New("no route")}}
	ctx, cancel := context.WithCancelCause(t.Context())
	store := b.store(small)
	store.Say = func(text string) {
		require.Contains(t, text, "store-1: no route")
		cancel(context.DeadlineExceeded)
	}
	_, err = store.Reconcile(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Zero(t, b.wipes)
}

// The disk is the one that held everything, and the server says that it is new: it looks at another place, and initialising it would
// hide what is there.
func TestAStoreIsNotMadeAnewOnItsOldDisk(t *testing.T) {
	b := newBench(t, newStandIn())
	_, err := b.store(small).Reconcile(t.Context())
	require.NoError(t, err)
	state := b.state
	b.server.Wipe(t)
	b.state.Servers = map[string]Server{"store-0": {Disk: b.server.Identity().Disk}}
	b.sent()
	_, err = b.store(small).Reconcile(t.Context())
	require.ErrorContains(t, err, "store-0 says that it was never initialised")
	require.Equal(t, state.Keys, b.state.Keys)
	require.Empty(t, b.sent())
}

// The keys of every storage that is gone are kept: a disk may be found again.
func TestFormerKeysAddUp(t *testing.T) {
	b := newBench(t, newStandIn())
	var keys []string
	for range 3 {
		_, err := b.store(small).Reconcile(t.Context())
		require.NoError(t, err)
		require.Equal(t, keys, b.state.Former)
		keys = append(keys, b.state.Keys...)
		b.server.Wipe(t)
	}
}

// A store that answers with an error of its own, or not at all, says nothing about its login.
func TestALoginThatFailsForAnotherReasonIsTriedAgain(t *testing.T) {
	b := newBench(t, newStandIn())
	_, err := b.store(small).Reconcile(t.Context())
	require.NoError(t, err)
	before := b.seen("a/admin")
	b.state.Phase, b.state.Servers = PhaseInitialising, map[string]Server{"store-0": b.server.Identity()}
	for n := 2; n < 13; n++ { // from the survey on, one answer is lost
		b.step, b.failAt = 0, n
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, _ = b.store(small).Reconcile(ctx)
		cancel()
		require.Zero(t, b.wipes, "step %d", n)
		b.state.Phase = PhaseInitialising
	}
	require.Equal(t, before, b.seen("a/admin"))
}
