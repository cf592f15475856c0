// Package bootstrap runs the layer graph: each layer is applied once the layers it needs are done, independent ones side by
// side, and recorded in the cluster with its key, so that a run does only what differs and a run that was interrupted at any
// point is taken up where it stopped.
package bootstrap

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/platform"
)

// Schema is the version of what a run leaves in the cluster. It is part of every layer's key: a change of it applies all
// layers anew.
const Schema = "1"

// Step is one layer, rendered.
type Step struct {
	Layer   platform.Layer
	Objects []*unstructured.Unstructured
	Key     string
}

// State is what became of a layer.
type State string

// The states of a layer after a run.
const (
	StateApplied State = "applied" // applied in this run; of a record: done
	StateCached  State = "cached"  // recorded with the same key, so left alone
	StatePending State = "pending" // not started
	StateFailed  State = "failed"
)

// The further states that a layer has while it runs; see Event.
const (
	stateRunning = "running"
	stateWaiting = "waiting"
)

// Outcome is what became of one layer.
type Outcome struct {
	Name, Key string
	State     State
	Seconds   float64 // apply, prune and gates together; of a cached layer 0
	Objects   int     // how many objects the layer has
	Changed   int     // how many were created, configured or pruned
	Err       error
}

// Event is one step of a run, for who watches it. State is one of pending, running, waiting, applied, cached and failed; a
// waiting event's message says for what. Done of Total layers are done.
type Event struct {
	Time    time.Time `json:"time"`
	Layer   string    `json:"layer,omitempty"`
	State   string    `json:"state"`
	Message string    `json:"message,omitempty"`
	Done    int       `json:"done"`
	Total   int       `json:"total"`
	Seconds float64   `json:"seconds,omitempty"`
}

// Snapshotter keeps the state of a cluster. keys are the layers that are done, by name. Other layers may be half-way at that
// moment: a snapshot holds their records, in which everything they may have written is listed.
type Snapshotter interface {
	Save(ctx context.Context, keys map[string]string) error
}

// Applier is what a run needs of *apply.Applier.
type Applier interface {
	Writer
	Inventory
}

// Writer changes a cluster and waits for gates.
type Writer interface {
	Apply(ctx context.Context, objs []*unstructured.Unstructured, o apply.Options) (apply.Result, error)
	Prune(ctx context.Context, previous, current []apply.ObjectRef) ([]apply.ObjectRef, error)
	Ready(ctx context.Context, gates []platform.Gate, objs []*unstructured.Unstructured, progress func(waitingFor string)) error
}

// Inventory tells what objects are in a cluster, or will be.
type Inventory interface {
	Refs(ctx context.Context, objs []*unstructured.Unstructured, namespace string) ([]apply.ObjectRef, error)
	Missing(ctx context.Context, objs []*unstructured.Unstructured, namespace string) ([]apply.ObjectRef, error)
}

// Recorded are the layers as the cluster's records have them, without a run: applied or pending, in the order of layers.
func Recorded(ctx context.Context, records Records, layers []platform.Layer) ([]Outcome, error) {
	known, err := recordsByLayer(ctx, records)
	if err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(layers))
	for i, layer := range layers {
		outcomes[i] = Outcome{Name: layer.Name, State: StatePending}
		if record, ok := known[layer.Name]; ok {
			outcomes[i] = record.outcome()
		}
	}
	return outcomes, nil
}
