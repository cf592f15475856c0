// Package graph decides what a pipeline does with the layers of a platform: which there are, in which order, under which names their
// results are kept, and what is told in the end. It knows nothing of Dagger; what it reads is what `idp layers` writes.
package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Providers are where a cluster can come from.
const (
	Embedded = "embedded"
	K3s      = "k3s"
)

// CheckProvider refuses what is no provider.
func CheckProvider(name string) error {
	if name == Embedded || name == K3s {
		return nil
	}
	return fmt.Errorf("there is no provider %q: use %s or %s", name, Embedded, K3s)
}

// Plan is the part of a plan's plan.json that pipelines need.
type Plan struct {
	Nodes  []Node  `json:"nodes"`
	Layers []Layer `json:"layers"` // in boot order
}

// Node is a node that the platform wants.
type Node struct {
	Name   string            `json:"name"`
	Pool   string            `json:"pool"`
	Labels map[string]string `json:"labels"`
	Taints []struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Effect string `json:"effect"`
	} `json:"taints"`
}

// Layer is one layer.
type Layer struct {
	Name     string   `json:"name"`
	Needs    []string `json:"needs"`
	Key      string   `json:"key"`
	File     string   `json:"file"`
	HandOver bool     `json:"handOver"`
}

// ParsePlan reads plan.json.
func ParsePlan(data string) (Plan, error) {
	var p Plan
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		return p, fmt.Errorf("reading the plan: %w", err)
	}
	if len(p.Layers) == 0 {
		return p, fmt.Errorf("the plan has no layers: IT/layers.yaml has to name at least one")
	}
	return p, nil
}

// Layer is the layer of that name.
func (p Plan) Layer(name string) (Layer, error) {
	var names []string
	for _, l := range p.Layers {
		if l.Name == name {
			return l, nil
		}
		names = append(names, l.Name)
	}
	return Layer{}, fmt.Errorf("there is no layer %q: IT/layers.yaml has %s", name, strings.Join(names, ", "))
}

// Upto are the layers that have to be done for one to be, in boot order, itself last.
func (p Plan) Upto(name string) ([]Layer, error) {
	if _, err := p.Layer(name); err != nil {
		return nil, err
	}
	wanted := map[string]bool{name: true}
	var list []Layer
	// Whoever needs a layer comes after it, so one way back finds all.
	for _, l := range slices.Backward(p.Layers) {
		if !wanted[l.Name] {
			continue
		}
		list = append(list, l)
		for _, need := range l.Needs {
			wanted[need] = true
		}
	}
	slices.Reverse(list)
	return list, nil
}

// Before are all layers but the one of the hand-over.
func (p Plan) Before() []Layer {
	return slices.DeleteFunc(slices.Clone(p.Layers), func(l Layer) bool { return l.HandOver })
}

// HandOver is the layer with which Argo CD takes over.
func (p Plan) HandOver() (Layer, error) {
	for _, l := range p.Layers {
		if l.HandOver {
			return l, nil
		}
	}
	return Layer{}, fmt.Errorf("no layer of IT/layers.yaml says `handover: true`, so there is nobody to hand over to")
}

// State is what `idp layers state` says of a cluster.
type State struct {
	Cluster struct {
		UID string `json:"uid"`
	} `json:"cluster"`
	Layers []Standing `json:"layers"`
}

// Standing is how one layer stands on the cluster.
type Standing struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	Turn     string `json:"turn"`
	Replaces bool   `json:"replaces"`
}

// ParseState reads the answer of `idp layers state`.
func ParseState(data string) (State, error) {
	var s State
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		return s, fmt.Errorf("reading the cluster's state: %w", err)
	}
	if s.Cluster.UID == "" {
		return s, fmt.Errorf("reading the cluster's state: it has no UID, so no result could be kept for it")
	}
	return s, nil
}

// Step is what one layer's step is keyed on, beside its file and the receipts of the layers it needs.
type Step struct {
	Layer
	UID    string // of the cluster
	Turn   string // this time of bringing the layer up on it
	Cached bool   // the cluster has it
	Among  bool   // the step has to know the other layers' objects
}

// Steps puts layers and state together, in the order of layers.
func Steps(layers []Layer, state State) ([]Step, error) {
	var steps []Step
	for _, l := range layers {
		at := slices.IndexFunc(state.Layers, func(s Standing) bool { return s.Name == l.Name })
		if at < 0 {
			return nil, fmt.Errorf("the cluster's state says nothing of layer %s", l.Name)
		}
		found := state.Layers[at]
		steps = append(steps, Step{Layer: l, UID: state.Cluster.UID, Turn: found.Turn, Cached: found.State == "cached", Among: found.Replaces})
	}
	return steps, nil
}

// Applied is what `idp layers apply` prints.
type Applied struct {
	Name    string    `json:"name"`
	State   string    `json:"state"` // applied, or cached: the cluster had it
	Seconds float64   `json:"seconds"`
	Objects int       `json:"objects"`
	Changed int       `json:"changed"`
	At      time.Time `json:"at"`
	Hit     bool      `json:"-"` // the step didn't run: its result was kept
}

// ParseApplied reads the output of a step. One that is older than the call it was asked for in was kept.
func ParseApplied(data string, call time.Time) (Applied, error) {
	var a Applied
	if err := json.Unmarshal([]byte(data), &a); err != nil {
		return a, fmt.Errorf("reading what a step did: %w", err)
	}
	a.Hit = a.At.Before(call)
	return a, nil
}

// Table shows what became of each layer, and counts.
func Table(done []Applied) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-20s %-6s %-8s %8s %8s %8s\n", "LAYER", "STEP", "CLUSTER", "OBJECTS", "CHANGED", "SECONDS")
	hits := 0
	for _, a := range done {
		step, state, changed, seconds := "ran", a.State, fmt.Sprint(a.Changed), fmt.Sprintf("%.1f", a.Seconds)
		if a.Hit {
			hits++
			step, state, changed, seconds = "hit", "-", "-", "-"
		}
		fmt.Fprintf(&b, "%-20s %-6s %-8s %8d %8s %8s\n", a.Name, step, state, a.Objects, changed, seconds)
	}
	fmt.Fprintf(&b, "%d layers: %d ran, %d hits\n", len(done), len(done)-hits, hits)
	return b.String()
}
