package bootstrap

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/platform"
)

// fakeCluster is an Applier and the Records of one cluster, in memory. Objects are named by their layer's Application.
type fakeCluster struct {
	mu      sync.Mutex
	objects map[apply.ObjectRef]bool
	records map[string]Record
	log     []string // "apply a", "ready a", "record a applying", …
	writes  int

	fail    map[string]error         // by what would be logged
	takes   map[string]time.Duration // by what would be logged
	before  func(what string)        // sees each step before it happens
	running int
	atOnce  int // the most applies that ran side by side
}

func newFakeCluster() *fakeCluster {
	return &fakeCluster{
		objects: map[apply.ObjectRef]bool{}, records: map[string]Record{}, fail: map[string]error{}, takes: map[string]time.Duration{},
	}
}

func (f *fakeCluster) runner() *Runner { return &Runner{Applier: f, Records: f} }

// step does one thing: it takes its time, fails where it is told to, and is logged.
func (f *fakeCluster) step(ctx context.Context, what string) error {
	if f.before != nil {
		f.before(what)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	takes, err := f.takes[what], f.fail[what]
	f.log = append(f.log, what)
	f.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	return err
}

func (f *fakeCluster) Apply(ctx context.Context, objs []*unstructured.Unstructured, o apply.Options) (apply.Result, error) {
	f.enter(1)
	defer f.enter(-1)
	if err := f.step(ctx, "apply "+strings.TrimPrefix(o.Component, "IT/")); err != nil {
		return apply.Result{}, err
	}
	refs, _ := f.Refs(ctx, objs, o.Namespace)
	f.mu.Lock()
	defer f.mu.Unlock()
	var result apply.Result
	for _, ref := range refs {
		if !f.objects[ref] {
			f.objects[ref] = true
			f.writes++
			result.Created = append(result.Created, ref)
		}
	}
	return result, nil
}

func (f *fakeCluster) enter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running += n
	f.atOnce = max(f.atOnce, f.running)
}

func (f *fakeCluster) Prune(ctx context.Context, previous, current []apply.ObjectRef) ([]apply.ObjectRef, error) {
	if err := f.step(ctx, "prune"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var pruned []apply.ObjectRef
	for _, ref := range previous {
		if f.objects[ref] && !slices.Contains(current, ref) {
			delete(f.objects, ref)
			f.writes++
			pruned = append(pruned, ref)
		}
	}
	return pruned, nil
}

func (f *fakeCluster) Ready(ctx context.Context, gates []platform.Gate, _ []*unstructured.Unstructured, progress func(string)) error {
	progress("gates")
	return f.step(ctx, "ready "+gates[0].Established[0])
}

func (f *fakeCluster) Refs(_ context.Context, objs []*unstructured.Unstructured, namespace string) ([]apply.ObjectRef, error) {
	var refs []apply.ObjectRef
	for _, obj := range objs {
		refs = append(refs, apply.ObjectRef{Kind: obj.GetKind(), Namespace: namespace, Name: obj.GetName()})
	}
	return refs, nil
}

func (f *fakeCluster) Missing(ctx context.Context, objs []*unstructured.Unstructured, namespace string) ([]apply.ObjectRef, error) {
	refs, _ := f.Refs(ctx, objs, namespace)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, "look")
	return slices.DeleteFunc(refs, func(ref apply.ObjectRef) bool { return f.objects[ref] }), nil
}

func (f *fakeCluster) List(context.Context) ([]Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, "list")
	return slices.Collect(maps.Values(f.records)), nil
}

func (f *fakeCluster) Put(ctx context.Context, r Record) error {
	what := "record " + r.Layer + " applying"
	if r.Done {
		what = "record " + r.Layer + " applied"
	}
	if err := f.step(ctx, what); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records[r.Layer] = r
	f.writes++
	return nil
}

func (f *fakeCluster) Delete(ctx context.Context, layer string) error {
	if err := f.step(ctx, "forget "+layer); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.records, layer)
	f.writes++
	return nil
}

func (f *fakeCluster) Lock(ctx context.Context, _ func(string)) (context.Context, func(), error) {
	if err := f.step(ctx, "lock"); err != nil {
		return nil, nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	held, cancel := context.WithCancel(ctx)
	return held, cancel, nil
}

// snapshots are the states that Save was called in.
type snapshots struct {
	cluster *fakeCluster
	kept    []kept
	err     error
}

type kept struct {
	keys    map[string]string
	objects map[apply.ObjectRef]bool
	records map[string]Record
}

func (s *snapshots) Save(_ context.Context, keys map[string]string) error {
	s.cluster.mu.Lock()
	defer s.cluster.mu.Unlock()
	s.kept = append(s.kept, kept{keys: keys, objects: maps.Clone(s.cluster.objects), records: maps.Clone(s.cluster.records)})
	return s.err
}

// layer is a step with one ConfigMap for each object name; its key names them all.
func layer(name string, objects string, needs ...string) Step {
	s := Step{Key: name + ":" + objects, Layer: platform.Layer{
		Component: platform.Component{Name: name, App: name, Namespace: "shared", Path: "IT/" + name}, Needs: needs,
		Gates: []platform.Gate{{Established: []string{name}}},
	}}
	for object := range strings.FieldsSeq(objects) {
		obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
		obj.SetName(object)
		s.Objects = append(s.Objects, obj)
	}
	return s
}

func ref(name string) apply.ObjectRef {
	return apply.ObjectRef{Kind: "ConfigMap", Namespace: "shared", Name: name}
}

func names(objects map[apply.ObjectRef]bool) []string {
	var all []string
	for ref := range objects {
		all = append(all, ref.Name)
	}
	slices.Sort(all)
	return all
}

func states(outcomes []Outcome) map[string]State {
	found := map[string]State{}
	for _, o := range outcomes {
		found[o.Name] = o.State
	}
	return found
}

var errTest = errors.New("no such luck")
