// Package secrets brings a secret store that speaks Vault's API (Vault, OpenBao) to what a declaration says: initialised,
// unsealed, audited, one read-only role for each namespace, and every value that is declared. What exists is never changed; a run
// that was interrupted at any point is finished by the next.
//
// Keys and tokens. The unseal keys are in one Secret of the store's namespace, made by the run that initialises the store; whoever
// reads that Secret and reaches the store's storage can open it, and without it nobody can. The root token lives in the memory
// of that run only, until the run has logged in as the ServiceAccount of the set-up; then it is revoked. Later runs log in as that
// ServiceAccount, with a token of a few minutes that the cluster makes for those who administer it, and revoke what they got.
// (sys/generate-root isn't used: it needs no token, so whoever reaches the store could disturb it, and the servers have it closed.)
package secrets

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/idp-blueprint/idp/internal/platform"
)

// Site is where a store runs, and what is kept beside it.
type Site interface {
	// Members are the servers of the store: all of them, also those that can't be reached.
	Members(ctx context.Context) ([]Member, error)
	// Login is a short-lived token of the set-up's ServiceAccount, for Audience.
	Login(ctx context.Context) (string, error)
	// Wipe empties the storage of all members. It may return before that is done.
	Wipe(ctx context.Context) error
	// Load reads what is kept.
	Load(ctx context.Context) (State, error)
	// Save keeps state, unless somebody has saved another since it was loaded: that is an error. It returns what is kept now.
	Save(ctx context.Context, state State) (State, error)
}

// Audience is what the set-up's ServiceAccount logs in for.
const Audience = "secrets.idp.dev"

// Member is one server of the store.
type Member struct {
	Name string
	URL  string
	HTTP *http.Client // trusts the server's certificate
	Err  error        // why it can't be reached
	Server
}

// Server tells a member's server from those that were in its place before.
type Server struct {
	Process string `json:"process,omitempty"` // another after every restart
	Disk    string `json:"disk,omitempty"`    // another where the storage is new
}

// Phase is how far a store has ever come.
type Phase string

// The phases of a store.
const (
	PhaseNew          Phase = ""
	PhaseInitialising Phase = "initialising" // from before the first request until the set-up could log in: it holds no value yet
	PhaseReady        Phase = "ready"
)

// State is what is kept beside a store, in the cluster.
type State struct {
	Keys    []string // unseal keys
	Former  []string // those of storages that are gone
	Phase   Phase
	Open    bool   // a change was begun and has not ended
	Applied string // digest of the declaration that was applied in full
	Cluster string // id of the store that it was applied to
	// Servers are the members by name, as they were when all of them said that they are new, and then when the declaration was
	// last applied in full.
	Servers map[string]Server
	Version string // of this state; the site's own
}

// Options are what a Store works with.
type Options struct {
	Site     Site
	Declared *platform.Secrets
	Say      func(string) // hears what is waited for and done, never a value; may be nil
	// Lock makes this process the only one that changes the store; nil where the caller has done that. The context ends when
	// the lock is lost.
	Lock func(ctx context.Context) (held context.Context, release func(), err error)
	// KubernetesAuth are further settings of the Kubernetes login, for a store outside of the cluster.
	KubernetesAuth map[string]any

	Every  time.Duration // between two looks at what is waited for; 2s
	Now    func() time.Time
	Random io.Reader
	Cost   int // of bcrypt
}

// Store brings one store to its declaration.
type Store struct{ Options }

// New is a store; it sends nothing yet.
func New(o Options) *Store {
	o.Say = once(o.Say)
	if o.Every == 0 {
		o.Every = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Cost == 0 {
		o.Cost = bcrypt.DefaultCost
	}
	return &Store{o}
}

// once leaves out what was just said; what is waited for is looked at again and again.
func once(say func(string)) func(string) {
	var mu sync.Mutex
	last := ""
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if say != nil && text != last {
			say(text)
		}
		last = text
	}
}

// Result is what a run did.
type Result struct {
	Unchanged bool      // the declaration was applied before, and nothing was written
	Changed   []string  // what was made or put right, by name
	Missing   []Missing // values that the user has to give
}

// Missing is a value that only the user can give.
type Missing struct{ Path, Key, Description string }

// Reconcile brings the store to its declaration and waits for its servers, within ctx. Where the declaration was applied in full
// before and the store is open, it reads that and changes nothing: it doesn't even log in.
func (s *Store) Reconcile(ctx context.Context) (Result, error) {
	if same, err := s.Sound(ctx); same || err != nil {
		return Result{Unchanged: same}, err
	}
	var result Result
	err := s.inSession(ctx, sessionOptions{initialise: true, writes: true, completes: true}, func(ctx context.Context, x *session) error {
		err := x.setUp(ctx)
		if err == nil {
			err = x.seedAll(ctx)
		}
		result.Changed, result.Missing = x.changed, x.missing
		return err
	})
	return result, err
}

// Sound looks, without a token, whether the store is open and everything was done before.
func (s *Store) Sound(ctx context.Context) (bool, error) {
	state, err := s.Site.Load(ctx)
	if err != nil {
		return false, err
	}
	if state.Phase != PhaseReady || state.Open || state.Applied != digest(s.Declared) {
		return false, nil
	}
	found, err := s.survey(ctx)
	if err != nil {
		return false, err
	}
	active := found.active()
	return active != nil && active.health.ClusterID == state.Cluster, nil
}

// schema is part of the digest: a change of what this package makes of a declaration applies it anew.
const schema = "1"

func digest(d *platform.Secrets) string {
	data, err := json.Marshal(d)
	if err != nil {
		data = fmt.Appendf(nil, "%#v", d)
	}
	sum := sha256.Sum256(append([]byte(schema+"\n"), data...))
	return hex.EncodeToString(sum[:16])
}

// errNotSetUp is the answer of a store that `up` has not set up yet.
var errNotSetUp = errors.New("the secret store is not set up yet; run: idp up")

// pause waits until the next look, or until ctx ends.
func (s *Store) pause(ctx context.Context) error {
	timer := time.NewTimer(s.Every)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
