package secrets

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/idp-blueprint/idp/internal/platform"
)

// fakeAPI is as much of an API server as a site uses.
type fakeAPI struct {
	mu      sync.Mutex
	objects map[string]map[string]any // by path
	deleted []string
	version int
	target  string // where a forwarded port leads

	connections []httpstream.Connection
}

// forward is the kubelet's end of a port-forward.
func (f *fakeAPI) forward(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost { // the newer way, by WebSocket, which this server doesn't have
		http.Error(w, "not by WebSocket", http.StatusBadRequest)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		return
	}
	target := f.target
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, replied <-chan struct{}) error {
		if s.Headers().Get("streamType") == "error" {
			go func() { <-replied; _ = s.Close() }()
			return nil
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			return err
		}
		go func() { <-replied; _, _ = io.Copy(server, s); _ = server.Close() }()
		go func() { <-replied; _, _ = io.Copy(s, server); _ = s.Close() }()
		return nil
	})
	if connection != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.connections = append(f.connections, connection)
	}
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/portforward") {
		f.forward(w, r)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(code int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	}
	refuse := func(code int, reason string) {
		answer(code, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason})
	}
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	path := r.URL.Path
	switch {
	case strings.HasSuffix(path, "/token"):
		spec, _ := body["spec"].(map[string]any)
		body["status"] = map[string]any{"token": jwtOf("v", "setup", spec["audiences"].([]any)[0].(string))}
		answer(http.StatusCreated, body)
	case r.Method == http.MethodDelete:
		f.deleted = append(f.deleted, path[strings.LastIndex(path, "/")+1:])
		answer(http.StatusOK, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	case r.Method == http.MethodGet && f.objects[path] == nil:
		refuse(http.StatusNotFound, "NotFound")
	case r.Method == http.MethodGet:
		answer(http.StatusOK, f.objects[path])
	default:
		meta := body["metadata"].(map[string]any)
		if r.Method == http.MethodPost {
			path += "/" + meta["name"].(string)
		}
		now := f.objects[path]
		if r.Method == http.MethodPost && now != nil {
			refuse(http.StatusConflict, "AlreadyExists")
			return
		}
		if r.Method == http.MethodPut && now["metadata"].(map[string]any)["resourceVersion"] != meta["resourceVersion"] {
			refuse(http.StatusConflict, "Conflict")
			return
		}
		f.version++
		meta["resourceVersion"] = strconv.Itoa(f.version)
		f.objects[path] = body
		answer(http.StatusOK, body)
	}
}

func newFakeKube(t *testing.T) (*Kube, *fakeAPI) {
	t.Helper()
	api := &fakeAPI{objects: map[string]map[string]any{}}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	k, err := NewKube(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, platform.SecretServer{
		Namespace: "v", StatefulSet: "store", Service: "store", Port: 8200, ServiceAccount: "setup",
		CA: platform.Ref{Namespace: "c", Name: "trust", Key: "ca.crt"}, UnsealKeys: platform.Ref{Namespace: "v", Name: "keys", Key: "key-"},
	})
	require.NoError(t, err)
	t.Cleanup(k.Close)
	return k, api
}

func TestStateIsKeptInASecret(t *testing.T) {
	k, api := newFakeKube(t)
	empty, err := k.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, State{}, empty)

	first, err := k.Save(t.Context(), State{Keys: []string{"one", "two"}, Former: []string{"old"}, Phase: PhaseReady, Open: true, Applied: "d", Cluster: "c",
		Servers: map[string]Server{"store-0": {Process: "p", Disk: "q"}}})
	require.NoError(t, err)
	loaded, err := k.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, loaded)
	data := api.objects["/api/v1/namespaces/v/secrets/keys"]["data"].(map[string]any)
	require.Contains(t, data, "key-0", "as the unsealer reads it")
	require.Contains(t, data, "key-1")

	second := first
	second.Open = false
	_, err = k.Save(t.Context(), second)
	require.NoError(t, err)
	_, err = k.Save(t.Context(), first)
	require.ErrorContains(t, err, "Secret v/keys", "somebody else has saved")
	_, err = k.Save(t.Context(), State{})
	require.Error(t, err, "two that begin at once")
}

// A container that restarted is another process, and so is a pod of the same name.
func TestProcess(t *testing.T) {
	k, _ := newFakeKube(t)
	pod := func(uid types.UID, server, beside string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{UID: uid},
			Spec: corev1.PodSpec{Containers: []corev1.Container{
				{Name: "server", Ports: []corev1.ContainerPort{{ContainerPort: 8200}}}, {Name: "beside"},
			}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
				{Name: "server", ContainerID: server}, {Name: "beside", ContainerID: beside},
			}},
		}
	}
	first := k.process(pod("a", "one", "one"))
	require.Equal(t, first, k.process(pod("a", "one", "two")), "what runs beside it is another process")
	require.NotEqual(t, first, k.process(pod("a", "two", "one")))
	require.NotEqual(t, first, k.process(pod("b", "one", "one")))
}

func TestLoginAsksForTheAudience(t *testing.T) {
	k, _ := newFakeKube(t)
	token, err := k.Login(t.Context())
	require.NoError(t, err)
	namespace, account, ok := review(token, Audience)
	require.True(t, ok)
	require.Equal(t, "v/setup", namespace+"/"+account)
}

func TestMembersThatCannotBeReached(t *testing.T) {
	k, api := newFakeKube(t)
	members, err := k.Members(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, members[0].Err, "StatefulSet isn't there yet")

	api.objects["/apis/apps/v1/namespaces/v/statefulsets/store"] = map[string]any{
		"metadata": map[string]any{"name": "store", "namespace": "v"},
		"spec":     map[string]any{"replicas": 3, "volumeClaimTemplates": []any{map[string]any{"metadata": map[string]any{"name": "data"}}}},
	}
	api.objects["/api/v1/namespaces/v/persistentvolumeclaims"] = map[string]any{"items": []any{
		map[string]any{"metadata": map[string]any{"name": "data-store-0", "uid": "zero"}},
		map[string]any{"metadata": map[string]any{"name": "data-store-1", "uid": "one"}},
	}}
	members, err = k.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 3)
	require.Equal(t, []string{"zero", "one", ""}, []string{members[0].Disk, members[1].Disk, members[2].Disk})
	require.ErrorContains(t, members[2].Err, "authority", "no certificate to trust")

	require.NoError(t, k.Wipe(t.Context()))
	slices.Sort(api.deleted)
	require.Equal(t, []string{"data-store-0", "data-store-1", "data-store-2", "store-0", "store-1", "store-2"}, api.deleted)
}

// certificate signs itself for a host; it is the authority too.
func certificate(t *testing.T, host string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// inCluster is a cluster with one server of a store in it, whose certificate is for host.
func inCluster(t *testing.T, host string) (*Kube, *fakeAPI, *standIn) {
	t.Helper()
	k, api := newFakeKube(t)
	s := newStandIn()
	own, authority := certificate(t, host)
	server := httptest.NewUnstartedServer(s.Server)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	api.target = server.Listener.Addr().String()
	t.Cleanup(func() {
		for _, c := range api.connections {
			_ = c.Close()
		}
	})
	api.objects["/api/v1/namespaces/c/configmaps/trust"] = map[string]any{
		"metadata": map[string]any{"name": "trust"}, "data": map[string]any{"ca.crt": string(authority)},
	}
	api.objects["/apis/apps/v1/namespaces/v/statefulsets/store"] = map[string]any{
		"metadata": map[string]any{"name": "store", "namespace": "v"}, "spec": map[string]any{"replicas": 1},
	}
	api.objects["/api/v1/namespaces/v/pods/store-0"] = map[string]any{
		"metadata": map[string]any{"name": "store-0", "uid": "u"}, "status": map[string]any{"phase": "Running"},
	}
	return k, api, s
}

// The whole way: state in a Secret, login by ServiceAccount, the server behind a port-forward, TLS verified.
func TestThroughTheCluster(t *testing.T) {
	k, api, s := inCluster(t, "store.v.svc")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	store := New(Options{Site: k, Declared: declared(t, small), Every: 10 * time.Millisecond, Cost: bcrypt.MinCost, Say: func(text string) { t.Log(text) }})
	result, err := store.Reconcile(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, result.Changed)
	got, err := store.Get(t.Context(), "a/admin")
	require.NoError(t, err)
	require.Len(t, got["a/admin"]["password"], 32)
	again, err := store.Reconcile(t.Context())
	require.NoError(t, err)
	require.True(t, again.Unchanged)
	require.Zero(t, newBench(t, s).roots())
	kept, err := json.Marshal(api.objects)
	require.NoError(t, err)
	require.NotContains(t, string(kept), got["a/admin"]["password"])
	require.NotContains(t, string(kept), "hvs.")
	require.NotContains(t, string(kept), base64.StdEncoding.EncodeToString([]byte("hvs.")))
}

func TestACertificateForAnotherServerIsRefused(t *testing.T) {
	k, _, _ := inCluster(t, "other.v.svc")
	ctx, cancel := context.WithCancelCause(t.Context())
	store := New(Options{Site: k, Declared: declared(t, small), Every: time.Millisecond, Say: func(text string) { cancel(errors.New(text)) }})
	_, err := store.Reconcile(ctx)
	require.ErrorContains(t, err, "certificate is valid for other.v.svc, not store.v.svc")
	state, err := k.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, State{}, state, "nothing was begun")
}

// While one authority takes the place of another both are trusted, and what each has signed can be told.
func TestAuthorities(t *testing.T) {
	k, api := newFakeKube(t)
	first, firstPEM := certificate(t, "first")
	second, secondPEM := certificate(t, "second")
	api.objects["/api/v1/namespaces/c/configmaps/trust"] = map[string]any{
		"metadata": map[string]any{"name": "trust"}, "data": map[string]any{"ca.crt": string(firstPEM) + string(secondPEM)},
	}
	secret := func(namespace, name string, signer tls.Certificate) map[string]any {
		parent, err := x509.ParseCertificate(signer.Certificate[0])
		require.NoError(t, err)
		key := signer.PrivateKey.(*ecdsa.PrivateKey)
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, leaf, parent, key.Public(), key)
		require.NoError(t, err)
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		return map[string]any{
			"metadata": map[string]any{"name": name + "-tls", "namespace": namespace, "annotations": map[string]any{"cert-manager.io/certificate-name": name}},
			"data":     map[string]any{"tls.crt": base64.StdEncoding.EncodeToString(text)},
		}
	}
	own := secret("c", "first", first)
	own["data"] = map[string]any{"tls.crt": base64.StdEncoding.EncodeToString(firstPEM)}
	broken := secret("z", "broken", first)
	broken["data"] = map[string]any{"tls.crt": "AAAA"}
	api.objects["/api/v1/secrets"] = map[string]any{"items": []any{secret("b", "two", first), secret("a", "one", first), own, broken, secret("d", "three", second)}}
	authorities, err := k.Authorities(t.Context())
	require.NoError(t, err)
	signed := map[string][]string{}
	for _, a := range authorities {
		signed[a.Name] = a.Signed
	}
	require.Equal(t, map[string][]string{"first": {"a/one", "b/two"}, "second": {"d/three"}}, signed)
}

// While the key that signs is changed, a server with a certificate of either authority is trusted; before and after it, of one.
func TestBothAuthoritiesAreTrustedMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		trusted func(first, second string) string
		refused bool
	}{
		"the new one signs, and isn't trusted yet": {func(first, _ string) string { return first }, true},
		"both are trusted":                         {func(first, second string) string { return first + second }, false},
		"only the new one is":                      {func(_, second string) string { return second }, false},
	} {
		t.Run(name, func(t *testing.T) {
			k, api, _ := inCluster(t, "store.v.svc")
			trust := api.objects["/api/v1/namespaces/c/configmaps/trust"]["data"].(map[string]any)
			_, first := certificate(t, "store.v.svc")
			trust["ca.crt"] = c.trusted(string(first), trust["ca.crt"].(string))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			stopped := errors.New("stopped")
			stop, stopNow := context.WithCancelCause(ctx)
			_, err := New(Options{Site: k, Declared: declared(t, small), Every: 10 * time.Millisecond, Cost: bcrypt.MinCost, Say: func(text string) {
				if strings.Contains(text, "certificate") {
					stopNow(stopped)
				}
			}}).Reconcile(stop)
			if c.refused {
				require.ErrorIs(t, err, stopped)
				return
			}
			require.NoError(t, err)
		})
	}
}
