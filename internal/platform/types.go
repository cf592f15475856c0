// Package platform is the model of an internal developer platform: what platform.yaml, IT/layers.yaml and the component
// folders of a checkout say, validated and ordered. It is pure: a file system in, values out; it never talks to a cluster.
package platform

import "time"

// Platform is one checkout: its parameters, its layers in boot order and its stacks.
type Platform struct {
	Root   string // the checkout's folder, absolute
	Config Config
	Layers []Layer // topological order; layers that don't depend on one another keep the file's order
	Stacks []Stack
}

// Config is what platform.yaml says under global.platform.
type Config struct {
	Name       string
	Domain     string
	Profile    string // "demo" or "ha"
	Git        Git
	Kubernetes Kubernetes
	Cluster    Cluster
	Stacks     map[string]bool
}

// Git is the repository that Argo CD follows. An empty URL means the cluster's own Git service.
type Git struct {
	URL      string
	Revision string
}

// Kubernetes is what charts see of the cluster while they are rendered, here and in Argo CD alike.
type Kubernetes struct {
	Version     string   // "v1.37.2"
	APIVersions []string // "group/version" and "group/version/Kind", beyond the built-in ones
}

// Cluster is the shape of the nodes.
type Cluster struct {
	Pools []Pool
}

// Pool is a group of equal nodes, named <pool>-0, <pool>-1, ….
type Pool struct {
	Name   string
	Count  int
	CPU    string // a Kubernetes quantity
	Memory string // a Kubernetes quantity
	Labels map[string]string
	Taints []Taint
}

// Taint is a node taint.
type Taint struct {
	Key    string
	Value  string
	Effect string
}

// Layer is a component of IT/ with the layers it needs and the gates that say when it is done.
type Layer struct {
	Component
	Needs    []string
	Gates    []Gate
	Timeout  time.Duration // bound of apply and gates together
	HandOver bool          // the layer with which Argo CD takes over
}

// Stack is a folder of components that Argo CD discovers; bootstrap does not apply it.
type Stack struct {
	Name       string
	Namespace  string
	Path       string // repo-relative, with slashes
	Enabled    bool
	Components []Component
}

// Component is one umbrella chart folder.
type Component struct {
	Name      string // Helm release name
	App       string // name of its Argo CD Application
	Stack     string // empty for a layer
	Namespace string
	Path      string // repo-relative, with slashes
	Chart     ChartFile
	Profiles  []string // those that it has a values-<profile>.yaml for
}

// ChartFile is the part of a component's Chart.yaml that the model needs.
type ChartFile struct {
	Name         string
	Version      string
	AppVersion   string
	Dependencies []Dependency // upstream charts
	Libraries    []Library    // charts of this very checkout
}

// Library is a library chart of the checkout, which a component names as file://<path from its own folder>. Its templates are the one
// way in which components make a route, a flow or a label.
type Library struct {
	Name string
	Path string // from the checkout's root, slash separated
}

// Dependency is an upstream chart, pinned.
type Dependency struct {
	Name       string
	Version    string
	Repository string
	Alias      string
	Condition  string
	Line       int // in Chart.yaml, 1-based
}

// Gate is one thing that must be true before a layer counts as done. Exactly one of its fields is set.
type Gate struct {
	Established []string       // CustomResourceDefinitions whose condition Established is True
	Condition   *Condition     // a status condition of one object
	Every       *Condition     `json:",omitempty"` // a status condition of every object of a kind that the layer has; Namespace is that of objects that name none
	DryRun      map[string]any // an object that the API server must accept, webhooks included, without storing it
	Seeded      *Secrets       `json:",omitempty"` // a secret store that must be as declared; it is made so while the layer's objects come up
	Line        int            // in layers.yaml, 1-based

	seeded string // the file of Seeded, in the layer's folder
}

// Secrets is the store that a layer's gate declares, with those parts that the enabled stacks need; nil for none.
func (l Layer) Secrets() *Secrets {
	for _, g := range l.Gates {
		if g.Seeded != nil {
			return g.Seeded
		}
	}
	return nil
}

// Condition is a status condition of one object.
type Condition struct {
	APIVersion string
	Kind       string
	Namespace  string
	Name       string
	Type       string
	Status     string // "True" where the file says nothing
}
