package secrets

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/secrets/vaulttest"
)

// server is what a bench tests with: the stand-in, or a real one.
type server interface {
	http.RoundTripper
	URL() string
	Restart(t *testing.T)
	Wipe(t *testing.T)
	Identity() Server
}

// onServers runs a test on the stand-in and, where its program is given, on a real server: what the stand-in answers is what such
// a server answers. fresh is a store that isn't initialised; it ends the one before.
func onServers(t *testing.T, storage string, test func(t *testing.T, fresh func() *bench)) {
	t.Run("stand-in", func(t *testing.T) { test(t, func() *bench { return newBench(t, newStandIn()) }) })
	t.Run("real", func(t *testing.T) {
		binary := os.Getenv(binaryVariable)
		if binary == "" {
			t.Skipf("%s is not set: only the stand-in was tested", binaryVariable)
		}
		var now *real
		test(t, func() *bench {
			if now != nil {
				now.stop()
			}
			now = startReal(t, binary, storage)
			return now.bench(t)
		})
	})
}

// standIn is the stand-in, without a network in between.
type standIn struct {
	*vaulttest.Server
	now identity
}

func newStandIn() *standIn { return &standIn{Server: &vaulttest.Server{Review: review}} }

func (s *standIn) URL() string        { return "http://stand-in.invalid" }
func (s *standIn) Restart(*testing.T) { s.Seal(); s.now.restart() }
func (s *standIn) Wipe(*testing.T)    { s.Server.Wipe(); s.now.wipe() }
func (s *standIn) Identity() Server   { return s.now.server() }

// identity counts the starts and the disks of a server.
type identity struct{ starts, disks atomic.Int32 }

func (i *identity) restart() { i.starts.Add(1) }
func (i *identity) wipe()    { i.restart(); i.disks.Add(1) }
func (i *identity) server() Server {
	return Server{Process: fmt.Sprint("start ", i.starts.Load()), Disk: fmt.Sprint("disk ", i.disks.Load())}
}
func (s *standIn) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// bench is a site whose every step can fail.
type bench struct {
	t      *testing.T
	server server
	auth   map[string]any // further settings of the Kubernetes login
	kube   string         // where the server reaches the API server
	audit  string         // the audit device's file

	mu       sync.Mutex
	state    State
	saves    int
	wipes    int
	requests []string
	extra    []Member
	token    string            // of the last request that had one
	onWrite  func(path string) // before a value is written

	step, failAt int
	dies         func() // what fails is everything from there on; nil: one step
	dead         bool
}

func newBench(t *testing.T, s server) *bench { return &bench{t: t, server: s, audit: "/audit.log"} }

var errInjected = errors.New("injected failure")

// fails counts a step, and says whether it is the one to fail.
func (b *bench) fails() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.step++
	if b.dead {
		return errInjected
	}
	if b.step != b.failAt {
		return nil
	}
	if b.dies != nil {
		b.dead = true
		b.dies()
	}
	return errInjected
}

// around does something that may fail before it happened, or after it, when its answer is lost.
func around[T any](b *bench, do func() (T, error)) (T, error) {
	var none T
	if err := b.fails(); err != nil {
		return none, err
	}
	got, err := do()
	if err != nil {
		return none, err
	}
	if err := b.fails(); err != nil {
		return none, err
	}
	return got, nil
}

func (b *bench) RoundTrip(r *http.Request) (*http.Response, error) {
	return around(b, func() (*http.Response, error) {
		path, method := strings.TrimPrefix(r.URL.Path, "/v1/"), r.Method
		if method == http.MethodPut {
			method = http.MethodPost
		}
		b.mu.Lock()
		b.requests = append(b.requests, method+" "+path)
		hook := b.onWrite
		if token := r.Header.Get("X-Vault-Token"); token != "" {
			b.token = token
		}
		b.mu.Unlock()
		if method == http.MethodPost && strings.HasPrefix(path, "secret/data/") && hook != nil {
			hook(strings.TrimPrefix(path, "secret/data/"))
		}
		return b.server.RoundTrip(r)
	})
}

func (b *bench) Members(context.Context) ([]Member, error) {
	own := Member{Name: "store-0", URL: b.server.URL(), HTTP: &http.Client{Transport: b}, Server: b.server.Identity()}
	return append([]Member{own}, b.extra...), nil
}

func (b *bench) Login(context.Context) (string, error) {
	return around(b, func() (string, error) { return jwtOf("v", "setup", Audience), nil })
}

func (b *bench) Wipe(context.Context) error {
	_, err := around(b, func() (int, error) { b.wipes++; b.server.Wipe(b.t); return 0, nil })
	return err
}

func (b *bench) Load(context.Context) (State, error) {
	return around(b, func() (State, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.state, nil
	})
}

func (b *bench) Save(_ context.Context, s State) (State, error) {
	return around(b, func() (State, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if s.Version != b.state.Version {
			return State{}, errors.New("somebody else has saved")
		}
		b.saves++
		s.Version += "."
		b.state = s
		return s, nil
	})
}

// sent are the requests since the last call that may change something.
func (b *bench) sent() (changes []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if !strings.HasPrefix(r, "GET ") && !strings.HasPrefix(r, "LIST ") {
			changes = append(changes, r)
		}
	}
	b.requests = nil
	return changes
}

func (b *bench) store(text string) *Store {
	b.t.Helper()
	d := declared(b.t, text)
	d.Audit = b.audit
	if b.kube != "" {
		d.Server.Kubernetes = b.kube
	}
	return New(Options{Site: b, Declared: d, Every: 5 * time.Millisecond, Cost: bcrypt.MinCost, KubernetesAuth: b.auth})
}

func (b *bench) values(text string, paths ...string) map[string]map[string]string {
	b.t.Helper()
	got, err := b.store(text).Get(b.t.Context(), paths...)
	require.NoError(b.t, err)
	return got
}

// client speaks with the server beside what is tested, with a token or without.
func (b *bench) client(token string) *api.Client {
	b.t.Helper()
	client, err := newClient(b.server.URL(), &http.Client{Transport: b.server})
	require.NoError(b.t, err)
	if token != "" {
		client.SetToken(token)
	}
	return client
}

// logIn gives the token of a ServiceAccount.
func (b *bench) logIn(role, namespace, account, audience string) (string, error) {
	b.t.Helper()
	answer, err := b.client("").Logical().Write("auth/kubernetes/login", map[string]any{"role": role, "jwt": jwtOf(namespace, account, audience)})
	if err != nil {
		return "", err
	}
	return answer.Auth.ClientToken, nil
}

// tryAs logs in as a ServiceAccount, as External Secrets does.
func (b *bench) tryAs(namespace, account, audience string) (*api.Client, error) {
	b.t.Helper()
	token, err := b.logIn(namespace, namespace, account, audience)
	if err != nil {
		return nil, err
	}
	return b.client(token), nil
}

func (b *bench) as(namespace, account, audience string) *api.Client {
	b.t.Helper()
	client, err := b.tryAs(namespace, account, audience)
	require.NoError(b.t, err)
	return client
}

// seen is what External Secrets reads at paths, each as its namespace; a path without a value, or without a way to it, isn't there.
func (b *bench) seen(paths ...string) map[string]map[string]any {
	b.t.Helper()
	all := map[string]map[string]any{}
	for _, path := range paths {
		namespace, _, _ := strings.Cut(path, "/")
		client, err := b.tryAs(namespace, "secret-store", "vault")
		if err != nil {
			continue
		}
		answer, err := client.Logical().Read("secret/data/" + path)
		require.NoError(b.t, err)
		if answer != nil {
			all[path], _ = answer.Data["data"].(map[string]any)
		}
	}
	return all
}

// asSetup is logged in as the set-up.
func (b *bench) asSetup() *api.Client {
	b.t.Helper()
	token, err := b.logIn(setupName, "v", "setup", Audience)
	require.NoError(b.t, err)
	return b.client(token)
}

// open unseals the server with keys.
func (b *bench) open(keys []string) {
	b.t.Helper()
	for _, key := range keys {
		status, err := b.client("").Sys().SealStatus()
		require.NoError(b.t, err)
		if status.Sealed {
			_, err = b.client("").Sys().Unseal(key)
			require.NoError(b.t, err)
		}
	}
	require.True(b.t, assertSoon(func() bool {
		health, err := b.client("").Sys().Health()
		return err == nil && !health.Sealed && !health.Standby
	}))
}

// roots counts the root tokens.
func (b *bench) roots() (n int) {
	b.t.Helper()
	client := b.asSetup()
	list, err := client.Logical().List("auth/token/accessors")
	require.NoError(b.t, err)
	for _, accessor := range list.Data["keys"].([]any) {
		info, err := client.Auth().Token().LookupAccessor(accessor.(string))
		if answers(err, http.StatusForbidden) || answers(err, http.StatusBadRequest) {
			continue // it ended meanwhile
		}
		require.NoError(b.t, err)
		policies, err := info.TokenPolicies()
		require.NoError(b.t, err)
		if slices.Contains(policies, "root") {
			n++
		}
	}
	return n
}

// roles are the names of the roles.
func (b *bench) roles() (names []string) {
	b.t.Helper()
	list, err := b.asSetup().Logical().List("auth/kubernetes/role")
	require.NoError(b.t, err)
	for _, name := range list.Data["keys"].([]any) {
		names = append(names, name.(string))
	}
	slices.Sort(names)
	return names
}

func declared(t *testing.T, text string) *platform.Secrets {
	t.Helper()
	const head = "server: {namespace: v, statefulSet: store, service: v, serviceAccount: setup, ca: {namespace: c, configMap: ca, key: k}, unsealKeys: {secret: u, prefix: u-}}\n"
	d, err := platform.ReadSecrets(fstest.MapFS{"s.yaml": {Data: []byte(head + text)}}, "s.yaml")
	require.NoError(t, err)
	return d
}

var signer = sync.OnceValue(func() jose.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		panic(err)
	}
	return s
})

type claims struct {
	Issuer     string   `json:"iss"`
	Subject    string   `json:"sub"`
	Audience   []string `json:"aud"`
	Expires    int64    `json:"exp"`
	NotBefore  int64    `json:"nbf"`
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// jwtOf is a ServiceAccount's token as the API server makes them.
func jwtOf(namespace, account, audience string) string {
	c := claims{
		Issuer: "https://kubernetes.default.svc", Subject: "system:serviceaccount:" + namespace + ":" + account, Audience: []string{audience},
		Expires: time.Now().Add(10 * time.Minute).Unix(), NotBefore: time.Now().Add(-time.Minute).Unix(),
	}
	c.Kubernetes.Namespace, c.Kubernetes.ServiceAccount.Name, c.Kubernetes.ServiceAccount.UID = namespace, account, "uid-"+account
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	signed, err := signer().Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// review reads a token without checking who signed it.
func review(jwt, audience string) (namespace, account string, ok bool) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "", "", false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c claims
	if err != nil || json.Unmarshal(payload, &c) != nil || !slices.Contains(c.Audience, audience) {
		return "", "", false
	}
	return c.Kubernetes.Namespace, c.Kubernetes.ServiceAccount.Name, true
}
