package apply

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// Applier writes to one cluster. Safe for concurrent use: layers side by side share its knowledge of the cluster's kinds and
// its bound on requests in flight.
type Applier struct {
	client *client
	kinds  *kinds
}

// New is an Applier for the cluster that cfg reaches. It sends nothing yet.
func New(cfg *rest.Config) (*Applier, error) {
	client, discoverer, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	return &Applier{client: client, kinds: newKinds(discoverer)}, nil
}

// Options say where objects come from and what is known about them.
type Options struct {
	Component string       // folder the objects were rendered from, for errors
	Namespace string       // of namespaced objects that don't say one
	Previous  []ObjectRef  // what may be in the cluster already; such objects are read first, to tell configured from unchanged
	Progress  func(string) // called when something has to be waited for; may be nil
}

// Result is what became of the objects, each list sorted.
type Result struct {
	Created    []ObjectRef
	Configured []ObjectRef
	Unchanged  []ObjectRef
	Pruned     []ObjectRef
	Warnings   []Warning
}

// Changed is how many objects are not as they were.
func (r Result) Changed() int { return len(r.Created) + len(r.Configured) + len(r.Pruned) }

// run is one call of Apply.
type run struct {
	options  Options
	previous map[ObjectRef]bool

	mu     sync.Mutex
	result Result
	faulty bool               // an object was refused
	hooks  map[ObjectRef]task // hooks that ran, by what they are in the cluster
}

// Apply brings objects into the cluster: namespaces and CRDs, then PreSync hooks, the rest and PostSync hooks, each by wave;
// the objects of a wave side by side. It retries within ctx what a cluster that is coming up refuses at first. The error joins
// one *ObjectError for each object that the cluster refuses for good; or it is a *TimeoutError.
//
// An object with the sync option ServerSideApply=false is applied server-side all the same.
func (a *Applier) Apply(ctx context.Context, objs []*unstructured.Unstructured, o Options) (Result, error) {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if err := check(objs, o.Component); err != nil {
		return Result{}, err
	}
	r := &run{options: o, previous: map[ObjectRef]bool{}, hooks: map[ObjectRef]task{}}
	for _, ref := range o.Previous {
		r.previous[ref.identity()] = true
	}
	err := a.runStages(ctx, r, plan(lastOfEach(objs)))
	for _, list := range [][]ObjectRef{r.result.Created, r.result.Configured, r.result.Unchanged} {
		sortRefs(list)
	}
	return r.result, err
}

func (a *Applier) runStages(ctx context.Context, r *run, stages []stage) error {
	for i, s := range stages {
		err := a.applyStage(ctx, r, s)
		if err == nil {
			err = a.settle(ctx, r, s, i == len(stages)-1)
		}
		if err != nil {
			return errors.Join(err, a.dropFailed(ctx, r))
		}
	}
	return a.dropHooks(ctx, r, "hook-succeeded")
}

// applyStage applies a stage rank by rank. An object that is refused doesn't stop the others, so that one run reports them all.
func (a *Applier) applyStage(ctx context.Context, r *run, s stage) error {
	var errs []error
	for _, group := range byRank(s.tasks) {
		if err := a.applyGroup(ctx, r, group); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (a *Applier) applyGroup(ctx context.Context, r *run, group []task) error {
	errs := make([]error, len(group))
	var all sync.WaitGroup
	for i, t := range group {
		all.Go(func() { errs[i] = a.applyTask(ctx, r, t) })
	}
	all.Wait()
	return errors.Join(errs...)
}
