package apply

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// fakeAPI is as much of an API server as these tests need: discovery, server-side apply without merging, and CRDs that are
// served a moment after they were made. It is called without a network, so that it works in a synctest bubble.
type fakeAPI struct {
	t *testing.T

	mu       sync.Mutex
	version  int
	objects  map[string]map[string]any // by URL path
	applied  map[string]map[string]any // what was last applied, by URL path
	kinds    map[string][]fakeKind     // by group/version
	requests []string                  // "PATCH /api/v1/namespaces/a", in order; reads of discovery are left out
	probes   int                       // how many more probes of a new CRD are answered with 404

	// fault answers instead of the API server where it returns true.
	fault func(r *http.Request) (*http.Response, error, bool)
	// onGet sees every object that is read, and may change it.
	onGet func(path string, obj map[string]any)
	// warn is a warning for each write, if not empty.
	warn string
}

type fakeKind struct {
	kind, plural string
	namespaced   bool
}

func newFakeAPI(t *testing.T) *fakeAPI {
	return &fakeAPI{
		t: t, objects: map[string]map[string]any{}, applied: map[string]map[string]any{},
		kinds: map[string][]fakeKind{
			"v1": {
				{"Namespace", "namespaces", false}, {"ConfigMap", "configmaps", true}, {"Secret", "secrets", true},
				{"Service", "services", true}, {"Pod", "pods", true}, {"Event", "events", true},
				{"ServiceAccount", "serviceaccounts", true},
			},
			"apps/v1":                         {{"Deployment", "deployments", true}},
			"batch/v1":                        {{"Job", "jobs", true}},
			"rbac.authorization.k8s.io/v1":    {{"ClusterRole", "clusterroles", false}},
			"apiextensions.k8s.io/v1":         {{"CustomResourceDefinition", "customresourcedefinitions", false}},
			"admissionregistration.k8s.io/v1": {{"ValidatingWebhookConfiguration", "validatingwebhookconfigurations", false}},
		},
	}
}

func (f *fakeAPI) applier() *Applier {
	a, err := New(&rest.Config{Host: "http://fake", Transport: f})
	require.NoError(f.t, err)
	return a
}

// RoundTrip implements http.RoundTripper.
func (f *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if f.fault != nil {
		if response, err, hit := f.fault(r); hit {
			return response, err
		}
	}
	recorder := httptest.NewRecorder()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serve(recorder, r)
	return recorder.Result(), nil
}

func (f *fakeAPI) serve(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if f.discover(w, path) {
		return
	}
	query := ""
	if r.URL.Query().Get("dryRun") != "" {
		query = "?dryRun"
	}
	f.requests = append(f.requests, r.Method+" "+path+query)
	if f.warn != "" && r.Method == http.MethodPatch {
		w.Header().Add("Warning", `299 - "`+f.warn+`"`)
	}
	kind, name, ok := f.resolve(path)
	if !ok {
		writeStatus(w, http.StatusNotFound, "NotFound", "the server could not find the requested resource")
		return
	}
	switch {
	case r.Method == http.MethodGet && name == "":
		f.list(w, path, kind)
	case r.Method == http.MethodGet:
		f.get(w, path)
	case r.Method == http.MethodDelete:
		f.delete(w, path)
	default:
		f.write(w, r, path, name)
	}
}

// resolve finds the kind of a path; a name is empty for a collection.
func (f *fakeAPI) resolve(path string) (fakeKind, string, bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	gv, rest := parts[1], parts[2:]
	if parts[0] == "apis" {
		gv, rest = parts[1]+"/"+parts[2], parts[3:]
	}
	if len(rest) > 2 && rest[0] == "namespaces" {
		rest = rest[2:]
	}
	for _, k := range f.kinds[gv] {
		if k.plural == rest[0] {
			if len(rest) > 1 {
				return k, rest[1], true
			}
			return k, "", f.isServed(gv)
		}
	}
	return fakeKind{}, "", false
}

func (f *fakeAPI) isServed(gv string) bool {
	if !strings.Contains(gv, ".dev/") || f.probes == 0 {
		return true
	}
	f.probes--
	return false
}

func (f *fakeAPI) list(w http.ResponseWriter, path string, kind fakeKind) {
	items := []any{}
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if strings.HasPrefix(key, path+"/") {
			items = append(items, f.objects[key])
		}
	}
	answer(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": kind.kind + "List", "items": items})
}

func (f *fakeAPI) get(w http.ResponseWriter, path string) {
	obj, found := f.objects[path]
	if !found {
		writeStatus(w, http.StatusNotFound, "NotFound", path+" not found")
		return
	}
	if f.onGet != nil {
		f.onGet(path, obj)
	}
	answer(w, http.StatusOK, obj)
}

func (f *fakeAPI) delete(w http.ResponseWriter, path string) {
	if _, found := f.objects[path]; !found {
		writeStatus(w, http.StatusNotFound, "NotFound", path+" not found")
		return
	}
	delete(f.objects, path)
	delete(f.applied, path)
	answer(w, http.StatusOK, map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Success"})
}

func (f *fakeAPI) write(w http.ResponseWriter, r *http.Request, path, name string) {
	body, err := io.ReadAll(r.Body)
	require.NoError(f.t, err)
	var obj map[string]any
	require.NoError(f.t, json.Unmarshal(body, &obj))
	if namespace := namespaceOf(path); namespace != "" && f.objects["/api/v1/namespaces/"+namespace] == nil {
		writeStatus(w, http.StatusNotFound, "NotFound", fmt.Sprintf("namespaces %q not found", namespace))
		return
	}
	u := &unstructured.Unstructured{Object: obj}
	if live := f.objects[path]; live != nil && !reflect.DeepEqual(live["fixed"], obj["fixed"]) {
		writeStatus(w, http.StatusUnprocessableEntity, "Invalid", "fixed: Invalid value: "+strings.Repeat("x", 2000)+": field is immutable")
		return
	}
	if strings.HasPrefix(u.GetName(), "bad") {
		writeStatus(w, http.StatusUnprocessableEntity, "Invalid", u.GetKind()+" "+u.GetName()+" is invalid")
		return
	}
	if name == "" {
		if u.GetName() == "" {
			u.SetName(u.GetGenerateName() + "x7")
		}
		path += "/" + u.GetName()
	}
	live, exists := f.objects[path]
	code := http.StatusOK
	if !exists {
		code = http.StatusCreated
	}
	if r.URL.Query().Get("dryRun") != "" {
		answer(w, code, obj)
		return
	}
	if exists && reflect.DeepEqual(f.applied[path], obj) {
		answer(w, code, live)
		return
	}
	f.store(path, obj)
	answer(w, code, f.objects[path])
}

// store keeps an object as if it had been applied.
func (f *fakeAPI) store(path string, obj map[string]any) {
	f.version++
	f.applied[path] = runtimeCopy(obj)
	live := &unstructured.Unstructured{Object: runtimeCopy(obj)}
	live.SetResourceVersion(strconv.Itoa(f.version))
	live.SetUID(types.UID("uid-" + stableUID(f.objects[path], f.version)))
	f.objects[path] = live.Object
	if isCRD(live) {
		for gvk, r := range servedBy(live) {
			f.kinds[gvk.GroupVersion().String()] = []fakeKind{{gvk.Kind, r.Resource, r.Namespaced}}
		}
	}
}

func (f *fakeAPI) discover(w http.ResponseWriter, path string) bool {
	switch path {
	case "/api":
		answer(w, http.StatusOK, map[string]any{"kind": "APIVersions", "versions": []any{"v1"}})
		return true
	case "/apis":
		groups := []any{}
		for _, gv := range slices.Sorted(maps.Keys(f.kinds)) {
			if group, version, found := strings.Cut(gv, "/"); found {
				entry := map[string]any{"groupVersion": gv, "version": version}
				groups = append(groups, map[string]any{"name": group, "versions": []any{entry}, "preferredVersion": entry})
			}
		}
		answer(w, http.StatusOK, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
		return true
	}
	for gv, kinds := range f.kinds {
		if path != "/apis/"+gv && path != "/api/"+gv {
			continue
		}
		resources := []any{}
		for _, k := range kinds {
			resources = append(resources, map[string]any{"name": k.plural, "kind": k.kind, "namespaced": k.namespaced, "verbs": []any{"get"}})
		}
		answer(w, http.StatusOK, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": gv, "resources": resources})
		return true
	}
	return false
}

// writes are the requests that change something, in order.
func (f *fakeAPI) writes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r string) bool {
		return strings.HasPrefix(r, http.MethodGet) || strings.HasSuffix(r, "?dryRun")
	})
}

func namespaceOf(path string) string {
	_, rest, found := strings.Cut(path, "/namespaces/")
	namespace, _, more := strings.Cut(rest, "/")
	if !found || !more {
		return ""
	}
	return namespace
}

func stableUID(before map[string]any, version int) string {
	if before == nil {
		return strconv.Itoa(version)
	}
	return strings.TrimPrefix(string((&unstructured.Unstructured{Object: before}).GetUID()), "uid-")
}

func runtimeCopy(obj map[string]any) map[string]any {
	return (&unstructured.Unstructured{Object: obj}).DeepCopy().Object
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func writeStatus(w http.ResponseWriter, code int, reason, message string) {
	answer(w, code, map[string]any{
		"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
	})
}

// refuse is a response of an API server that fails.
func refuse(code int, reason, message string) *http.Response {
	recorder := httptest.NewRecorder()
	writeStatus(recorder, code, reason, message)
	return recorder.Result()
}

// objects parses a multi-document manifest. Each object gets a tracking id of the Application demo.
func objects(t *testing.T, manifest string) []*unstructured.Unstructured {
	var objs []*unstructured.Unstructured
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		obj := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &obj.Object))
		annotations := obj.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[annotationTracking] = "demo:" + obj.GetKind() + ":" + obj.GetName()
		obj.SetAnnotations(annotations)
		objs = append(objs, obj)
	}
	return objs
}

const widgets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.dev}
spec:
  group: example.dev
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true}]
`
