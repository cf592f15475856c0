package secrets

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/idp-blueprint/idp/internal/platform"
)

// fakeAPI is as much of an API server as a site uses.
type fakeAPI struct {
	mu      sync.Mutex
	objects map[string]map[string]any // by path
	deleted []string
	version int
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		CA: platform.SecretRef{Namespace: "c", Name: "ca", Key: "tls.crt"}, UnsealKeys: platform.SecretRef{Namespace: "v", Name: "keys", Key: "key-"},
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

	first, err := k.Save(t.Context(), State{Keys: []string{"one", "two"}, Former: []string{"old"}, Phase: PhaseReady, Open: true, Applied: "d", Cluster: "c"})
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
	members, err = k.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 3)
	require.ErrorContains(t, members[2].Err, "authority", "no certificate to trust")

	require.NoError(t, k.Wipe(t.Context()))
	slices.Sort(api.deleted)
	require.Equal(t, []string{"data-store-0", "data-store-1", "data-store-2", "store-0", "store-1", "store-2"}, api.deleted)
}
