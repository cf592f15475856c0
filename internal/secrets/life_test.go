package secrets

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

const (
	small = `roles: [{namespace: a}]
paths:
- path: a/admin
  keys:
    password: {generate: {}}
    bcrypt: {bcrypt: password}
    changed: {timestamp: password}
    user: {text: admin}
`
	large = `roles: [{namespace: a}, {namespace: b}]
paths:
- path: a/admin
  keys:
    password: {generate: {}}
    bcrypt: {bcrypt: password}
    changed: {timestamp: password}
    user: {text: admin}
    more: {generate: {length: 20, alphabet: abcdefghij}}
- path: b/app
  keys:
    login: {copy: {path: a/admin, key: password}}
    hash: {bcrypt: login}
    token: {user: {description: a token}}
    region: {user: {description: a region, default: here}}
`
)

// life is a store from its beginning to its end, one stage after another.
func life(t *testing.T, b *bench) {
	reconcile := func(text string) Result {
		t.Helper()
		result, err := b.store(text).Reconcile(t.Context())
		require.NoError(t, err)
		return result
	}
	var before map[string]map[string]string
	stages := []struct {
		name string
		do   func(t *testing.T)
	}{
		{"new", func(t *testing.T) {
			_, err := b.store(small).Get(t.Context(), "a/admin")
			require.ErrorIs(t, err, errNotSetUp)
			_, err = b.store(small).Rotate(t.Context(), "a/admin", "")
			require.ErrorIs(t, err, errNotSetUp)
			require.Empty(t, b.sent())
		}},
		{"initialised", func(t *testing.T) {
			require.NotEmpty(t, reconcile(small).Changed)
			before = b.values(small, "a/admin")
			admin := before["a/admin"]
			require.Len(t, admin["password"], 32)
			require.Equal(t, "admin", admin["user"])
			require.NoError(t, bcrypt.CompareHashAndPassword([]byte(admin["bcrypt"]), []byte(admin["password"])))
			_, err := time.Parse(time.RFC3339, admin["changed"])
			require.NoError(t, err)
			require.Len(t, b.state.Keys, 1)
			require.Equal(t, PhaseReady, b.state.Phase)
			require.False(t, b.state.Open)
		}},
		{"re-run", func(t *testing.T) {
			b.sent()
			saves := b.saves
			for range 50 {
				require.True(t, reconcile(small).Unchanged)
			}
			require.Empty(t, b.sent(), "requests that change something, logins included")
			require.Equal(t, saves, b.saves)
		}},
		{"re-run in full", func(t *testing.T) {
			b.state.Applied = ""
			b.sent()
			require.Empty(t, reconcile(small).Changed)
			require.Equal(t, []string{"POST auth/kubernetes/login", "POST auth/token/revoke-self"}, b.sent())
		}},
		{"sealed", func(t *testing.T) {
			b.server.Restart(t)
			require.Equal(t, before, b.values(small, "a/admin"), "opened by whoever comes first")
		}},
		{"restarted", func(t *testing.T) {
			b.server.Restart(t)
			require.Empty(t, reconcile(small).Changed)
		}},
		{"a new key, path and role", func(t *testing.T) {
			result := reconcile(large)
			require.Equal(t, []Missing{{"b/app", "token", "a token"}}, result.Missing)
			now := b.values(large, "a/admin", "b/app")
			for key, value := range before["a/admin"] {
				require.Equal(t, value, now["a/admin"][key], key)
			}
			require.Len(t, now["a/admin"]["more"], 20)
			require.Empty(t, strings.Trim(now["a/admin"]["more"], "abcdefghij"))
			require.Equal(t, now["a/admin"]["password"], now["b/app"]["login"])
			require.Equal(t, "here", now["b/app"]["region"])
			require.NotContains(t, now["b/app"], "token")
			before = now
		}},
		{"a value of the user's", func(t *testing.T) {
			_, err := b.store(large).Set(t.Context(), "b/app", "token", strings.NewReader("line one\nline two\n"))
			require.NoError(t, err)
			now := b.values(large, "a/admin", "b/app")
			require.Equal(t, "line one\nline two", now["b/app"]["token"])
			delete(now["b/app"], "token")
			require.Equal(t, before, now)
			require.True(t, reconcile(large).Unchanged)
		}},
		{"one key rotated", func(t *testing.T) {
			result, err := b.store(large).Rotate(t.Context(), "a/admin", "password")
			require.NoError(t, err)
			require.Equal(t, []string{"a/admin: password, bcrypt, changed", "b/app: login, hash"}, withoutTime(result.Changed))
			now := b.values(large, "a/admin", "b/app")
			require.NotEqual(t, before["a/admin"]["password"], now["a/admin"]["password"])
			require.Equal(t, before["a/admin"]["more"], now["a/admin"]["more"])
			require.NoError(t, bcrypt.CompareHashAndPassword([]byte(now["a/admin"]["bcrypt"]), []byte(now["a/admin"]["password"])))
			require.Equal(t, now["a/admin"]["password"], now["b/app"]["login"])
			require.NoError(t, bcrypt.CompareHashAndPassword([]byte(now["b/app"]["hash"]), []byte(now["b/app"]["login"])))
			require.Equal(t, "line one\nline two", now["b/app"]["token"])
			require.True(t, reconcile(large).Unchanged)
			before = now
		}},
		{"each namespace reads its own", func(t *testing.T) {
			client := b.as("a", "secret-store", "vault")
			answer, err := client.Logical().Read("secret/data/a/admin")
			require.NoError(t, err)
			require.NotNil(t, answer)
			_, err = client.Logical().Read("secret/data/b/app")
			require.True(t, answers(err, http.StatusForbidden), "%v", err)
			_, err = client.Logical().Write("secret/data/a/admin", map[string]any{"data": map[string]any{"x": "y"}})
			require.True(t, answers(err, http.StatusForbidden), "%v", err)
			_, err = b.tryAs("a", "secret-store", "elsewhere")
			require.Error(t, err, "a token for another audience")
			_, err = b.tryAs("b", "default", "vault")
			require.Error(t, err, "another ServiceAccount")
		}},
		{"a role gone", func(t *testing.T) {
			reconcile(small)
			_, err := b.tryAs("b", "secret-store", "vault")
			require.Error(t, err)
			require.Equal(t, before, b.values(large, "a/admin", "b/app"), "no value is lost by it")
			reconcile(large)
			b.as("b", "secret-store", "vault")
		}},
		{"wiped", func(t *testing.T) {
			key := b.state.Keys
			b.server.Wipe(t)
			require.NotEmpty(t, reconcile(large).Changed)
			now := b.values(large, "a/admin")
			require.NotEqual(t, before["a/admin"]["password"], now["a/admin"]["password"])
			require.Equal(t, key, b.state.Former)
			require.NotEqual(t, key, b.state.Keys)
			require.NotEmpty(t, b.seen("b/app")["b/app"]["login"], "every namespace has its way in again")
		}},
	}
	for _, stage := range stages {
		if !t.Run(stage.name, stage.do) {
			return
		}
		if len(b.state.Keys) == 0 {
			continue
		}
		// What External Secrets reads, as each namespace, is what there is.
		kept := b.values(large, "a/admin", "b/app")
		for path, values := range b.seen("a/admin", "b/app") {
			require.Len(t, values, len(kept[path]), stage.name)
			for key, value := range kept[path] {
				require.Equal(t, value, values[key], "%s: %s %s", stage.name, path, key)
			}
		}
	}
}

// withoutTime leaves out that a timestamp follows: within one second it doesn't change.
func withoutTime(changed []string) []string {
	if len(changed) > 0 && changed[0] == "a/admin: password, bcrypt" {
		changed[0] += ", changed"
	}
	return changed
}

func TestLife(t *testing.T) {
	onServers(t, onRaft, func(t *testing.T, fresh func() *bench) {
		b := fresh()
		life(t, b)
		require.Zero(t, b.roots())
		server, ok := b.server.(*real)
		if !ok {
			return
		}
		log := server.log(t)
		require.Contains(t, log, `"path":"secret/data/a/admin"`, "every request is in the audit log")
		for path, values := range b.values(large, "a/admin", "b/app") {
			for _, key := range []string{"password", "bcrypt", "more", "login", "hash"} {
				if values[key] != "" {
					require.NotContains(t, log, values[key], "%s %s: the audit log has hashes", path, key)
				}
			}
		}
	})
}

func TestTwoAtOnce(t *testing.T) { onServers(t, onRaft, twoAtOnce) }

func twoAtOnce(t *testing.T, fresh func() *bench) {
	b := fresh()
	var lock sync.Mutex
	var both sync.WaitGroup
	failed := make([]error, 2)
	for i := range failed {
		store := b.store(large)
		store.Lock = func(ctx context.Context) (context.Context, func(), error) {
			lock.Lock()
			return ctx, lock.Unlock, nil
		}
		both.Go(func() { _, failed[i] = store.Reconcile(t.Context()) })
	}
	both.Wait()
	require.NoError(t, errors.Join(failed...))
	var inits, writes int
	for _, r := range b.sent() {
		if r == "POST sys/init" {
			inits++
		}
		if strings.HasPrefix(r, "POST secret/data/") {
			writes++
		}
	}
	require.Equal(t, []int{1, 2}, []int{inits, writes}, "each path is written once")
}

// Somebody writes a path between idp's look and its write.
func TestWrittenMeanwhile(t *testing.T) { onServers(t, onRaft, writtenMeanwhile) }

func writtenMeanwhile(t *testing.T, fresh func() *bench) {
	b := fresh()
	b.onWrite = func(path string) {
		b.onWrite = nil
		_, err := b.asSetup().Logical().Write("secret/data/"+path, map[string]any{"data": map[string]any{"password": "mine"}})
		require.NoError(t, err)
	}
	_, err := b.store(small).Reconcile(t.Context())
	require.NoError(t, err)
	admin := b.values(small, "a/admin")["a/admin"]
	require.Equal(t, "mine", admin["password"])
	require.NoError(t, bcrypt.CompareHashAndPassword([]byte(admin["bcrypt"]), []byte("mine")))
}

// At every step of a run the process is killed, or one answer is lost; the next run finishes, and what was there stays.
func TestInterruptedAtEveryStep(t *testing.T) { onServers(t, onFiles, interruptedAtEveryStep) }

func interruptedAtEveryStep(t *testing.T, fresh func() *bench) {
	for name, c := range map[string]struct {
		prepare func(t *testing.T, b *bench)
		run     func(b *bench, ctx context.Context) error
	}{
		"the first run": {func(*testing.T, *bench) {}, func(b *bench, ctx context.Context) error {
			_, err := b.store(large).Reconcile(ctx)
			return err
		}},
		"a run that adds": {func(t *testing.T, b *bench) {
			_, err := b.store(small).Reconcile(t.Context())
			require.NoError(t, err)
		}, func(b *bench, ctx context.Context) error {
			_, err := b.store(large).Reconcile(ctx)
			return err
		}},
		"a run after the storage was lost": {func(t *testing.T, b *bench) {
			_, err := b.store(small).Reconcile(t.Context())
			require.NoError(t, err)
			b.server.Wipe(t)
		}, func(b *bench, ctx context.Context) error {
			_, err := b.store(large).Reconcile(ctx)
			return err
		}},
		"a rotation": {func(t *testing.T, b *bench) {
			_, err := b.store(large).Reconcile(t.Context())
			require.NoError(t, err)
		}, func(b *bench, ctx context.Context) error {
			_, err := b.store(large).Rotate(ctx, "a/admin", "password")
			return err
		}},
	} {
		for _, kind := range []string{"killed", "one answer lost"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				for n := 1; ; n++ {
					if !interrupted(t, fresh(), n, kind == "killed", c.prepare, c.run) {
						t.Logf("%d steps", n-1)
						require.Greater(t, n, 20)
						return
					}
				}
			})
		}
	}
}

// interrupted is false once the run has fewer than n steps.
func interrupted(t *testing.T, b *bench, n int, killed bool, prepare func(*testing.T, *bench), run func(*bench, context.Context) error) bool {
	t.Helper()
	paths := []string{"a/admin", "b/app"}
	prepare(t, b)
	existed := b.seen(paths...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.step, b.failAt = 0, n
	if killed {
		b.dies = cancel
	}
	err := run(b, ctx)
	reached := b.step >= n
	if killed && reached {
		require.Error(t, err, "step %d", n)
	}
	b.failAt, b.dead, b.dies = 0, false, nil

	_, err = b.store(large).Reconcile(t.Context())
	require.NoError(t, err, "step %d", n)
	require.False(t, b.state.Open, "step %d", n)
	require.Zero(t, b.roots(), "step %d: a root token is left", n)
	now := b.seen(paths...)
	require.Equal(t, now["a/admin"]["password"], now["b/app"]["login"], "step %d", n)
	for path, login := range map[string][2]string{"a/admin": {"password", "bcrypt"}, "b/app": {"login", "hash"}} {
		require.NoError(t, bcrypt.CompareHashAndPassword([]byte(now[path][login[1]].(string)), []byte(now[path][login[0]].(string))), "step %d", n)
	}
	if old := existed["a/admin"]; old != nil && existed["b/app"] == nil {
		for key, value := range old {
			require.Equal(t, value, now["a/admin"][key], "step %d", n)
		}
	}
	require.Equal(t, []string{"a", "b", setupName}, b.roles())
	again, err := b.store(large).Reconcile(t.Context())
	require.NoError(t, err)
	require.True(t, again.Unchanged, "step %d", n)
	return reached
}

func TestHostileInput(t *testing.T) { onServers(t, onRaft, hostileInput) }

func hostileInput(t *testing.T, fresh func() *bench) {
	b := fresh()
	_, err := b.store(large).Reconcile(t.Context())
	require.NoError(t, err)
	before := b.seen("a/admin", "b/app")
	b.sent()
	set := func(path, key, value string) func() error {
		return func() error {
			_, err := b.store(large).Set(t.Context(), path, key, strings.NewReader(value))
			return err
		}
	}
	rotate := func(path, key string) func() error {
		return func() error { _, err := b.store(large).Rotate(t.Context(), path, key); return err }
	}
	for name, c := range map[string]struct {
		do   func() error
		says string
	}{
		"a path that climbs":        {set("a/../b/app", "token", "x"), "climbs"},
		"a path that climbs, coded": {set("a/%2e%2e/b", "token", "x"), "character"},
		"a path with a newline":     {set("b/app\nX-Vault-Token: x", "token", "x"), "character"},
		"a path that isn't there":   {set("b/ap", "token", "x"), `did you mean "b/app"?`},
		"a key with a newline":      {set("b/app", "to\nken", "x"), "character"},
		"a key with a NUL":          {set("b/app", "token\x00", "x"), "character"},
		"a key that isn't there":    {set("b/app", "tokn", "x"), `did you mean "token"?`},
		"a huge value":              {set("b/app", "token", strings.Repeat("x", MaxValue+1)), "512 KiB"},
		"a value that grows":        {set("b/app", "token", strings.Repeat("<", MaxValue)), "a path can hold 1020"},
		"a value with a NUL":        {set("b/app", "token", "x\x00y"), "NUL"},
		"a value that is no text":   {set("b/app", "token", "\xff\xfe"), "UTF-8"},
		"an empty value":            {set("b/app", "token", "\n"), "empty"},
		"a value too long to hash":  {set("a/admin", "password", strings.Repeat("x", 73)), "72"},
		"a value that follows":      {set("a/admin", "bcrypt", "x"), "set that"},
		"a copy":                    {set("b/app", "login", "x"), "a/admin password"},
		"what is no secret":         {set("a/admin", "user", "x"), "s.yaml"},
		"a rotation of the user's":  {rotate("b/app", "token"), "idp secrets set b/app token"},
		"a rotation of nothing":     {rotate("b/app", ""), "nothing to rotate"},
		"a rotation that climbs":    {rotate("../sys", ""), "climbs"},
		"a reader that fails": {func() error {
			_, err := b.store(large).Set(t.Context(), "b/app", "token", io.MultiReader(strings.NewReader("x"), failing{}))
			return err
		}, "reading the value"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, c.do(), c.says)
			require.Empty(t, b.sent(), "nothing was sent")
			require.Equal(t, before, b.seen("a/admin", "b/app"))
		})
	}
	t.Run("a value of just the limit", func(t *testing.T) {
		require.NoError(t, set("b/app", "token", strings.Repeat("x", MaxValue)+"\n")())
		require.Len(t, b.seen("b/app")["b/app"]["token"], MaxValue)
	})
	t.Run("two of them on one path", func(t *testing.T) {
		before := b.seen("b/app")
		require.ErrorContains(t, set("b/app", "region", strings.Repeat("x", MaxValue))(), "a path can hold 1020")
		require.Equal(t, before, b.seen("b/app"))
		_, err := b.store(large).Reconcile(t.Context())
		require.NoError(t, err)
		require.Equal(t, before, b.seen("b/app"))
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestRefusals(t *testing.T) { onServers(t, onFiles, refusals) }

func refusals(t *testing.T, fresh func() *bench) {
	for name, c := range map[string]struct {
		spoil func(b *bench)
		says  string
	}{
		"an expired token": {func(b *bench) {
			b.onWrite = func(string) { require.NoError(t, b.client(b.token).Auth().Token().RevokeSelf("")) }
		}, "its token has ended"},
		"a role without rights": {func(b *bench) {
			readOnly := strings.Replace(setupPolicy, `path "secret/data/*" { capabilities = ["create", "read", "update"] }`, `path "secret/data/*" { capabilities = ["read"] }`, 1)
			require.NotEqual(t, setupPolicy, readOnly)
			_, err := b.asSetup().Logical().Write("sys/policies/acl/"+setupName, map[string]any{"policy": readOnly})
			require.NoError(t, err)
		}, "no right to do that"},
		"a login that was taken away": {func(b *bench) {
			_, err := b.asSetup().Logical().Delete("auth/kubernetes/role/" + setupName)
			require.NoError(t, err)
		}, "logging in as the set-up: the secret store answers 400"},
		"keys of another store": {func(b *bench) {
			b.server.Restart(t)
			b.state.Keys = []string{base64.StdEncoding.EncodeToString(make([]byte, 32))}
		}, "with the keys that are kept"},
		"keys that are lost": {func(b *bench) { b.server.Restart(t); b.state.Keys = nil }, "restore that Secret"},
	} {
		t.Run(name, func(t *testing.T) {
			b := fresh()
			_, err := b.store(small).Reconcile(t.Context())
			require.NoError(t, err)
			before, keys := b.seen("a/admin"), b.state.Keys
			c.spoil(b)
			_, err = b.store(small).Rotate(t.Context(), "a/admin", "password")
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), before["a/admin"]["password"])
			b.open(keys)
			require.Equal(t, before, b.seen("a/admin"))
		})
	}
}

// A member that can't be reached may hold everything: nothing is initialised beside it.
func TestNotInitialisedBesideASilentMember(t *testing.T) {
	s := newStandIn()
	b := newBench(t, s)
	b.extra = []Member{{Name: "store-1", Err: errors.New("no route")}}
	ctx, cancel := context.WithCancelCause(t.Context())
	store := b.store(small)
	store.Say = func(text string) {
		require.Contains(t, text, "store-1: no route")
		cancel(fmt.Errorf("enough: %w", context.DeadlineExceeded))
	}
	_, err := store.Reconcile(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, b.sent())
	require.Equal(t, State{}, b.state)
}

// No value is in what a run says, in its result or in the state that is kept.
func TestNothingSecretIsSaid(t *testing.T) { onServers(t, onRaft, nothingSecretIsSaid) }

func nothingSecretIsSaid(t *testing.T, fresh func() *bench) {
	b := fresh()
	store := b.store(large)
	var said []string
	store.Say = func(text string) { said = append(said, text) }
	result, err := store.Reconcile(t.Context())
	require.NoError(t, err)
	rotated, err := store.Rotate(t.Context(), "a/admin", "")
	require.NoError(t, err)
	heard := strings.Join(said, "\n") + fmt.Sprint(result, rotated)
	for path, values := range b.seen("a/admin", "b/app") {
		for key, value := range values {
			if key != "user" && key != "region" {
				require.NotContains(t, heard, value, "%s %s", path, key)
			}
		}
	}
	require.NotContains(t, heard, b.state.Keys[0])
	require.NotRegexp(t, `\b(hv)?s\.`, fmt.Sprint(b.state), "a token")
}

// A token, a server or a certificate of the user's shell is for another store.
func TestTheEnvironmentIsNotRead(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "hvs.other")
	t.Setenv("VAULT_NAMESPACE", "other")
	t.Setenv("VAULT_ADDR", "https://other.invalid")
	t.Setenv("VAULT_HEADERS", `{"X-Other": "x"}`)
	b := newBench(t, newStandIn())
	client, err := newClient(b.server.URL(), nil)
	require.NoError(t, err)
	require.Empty(t, client.Token())
	require.Empty(t, client.Namespace())
	require.Empty(t, client.Headers().Get("X-Other"))
	require.Equal(t, b.server.URL(), client.Address())
}

// A member with a new disk says that it isn't initialised, while another one holds everything.
func TestAMemberWithANewDisk(t *testing.T) {
	old := newBench(t, newStandIn())
	_, err := old.store(small).Reconcile(t.Context())
	require.NoError(t, err)
	members, err := old.Members(t.Context())
	require.NoError(t, err)
	b := newBench(t, newStandIn())
	b.state, b.extra = old.state, members
	old.sent()

	result, err := b.store(small).Reconcile(t.Context())
	require.NoError(t, err)
	require.True(t, result.Unchanged)
	_, err = b.store(large).Reconcile(t.Context())
	require.NoError(t, err)
	require.NotContains(t, append(b.sent(), old.sent()...), "POST sys/init")
	require.Equal(t, old.state.Keys, b.state.Keys)
}
