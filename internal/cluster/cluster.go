// Package cluster is where Kubernetes comes from: a Provider makes a cluster or attaches to one, and removes what it made.
package cluster

import (
	"context"
	"errors"

	"k8s.io/client-go/rest"
)

// ErrNotRunning is what Access wraps where there is no running cluster.
var ErrNotRunning = errors.New("the cluster is not running")

// Info says what a cluster is.
type Info struct {
	Name       string
	Provider   string   // "embedded", "existing"
	Kubernetes string   // "v1.37.2"
	UID        string   // of the namespace kube-system, which stands for the cluster
	Simulated  []string // parts that are played instead of run; empty on a real cluster
	New        bool     // no layer of the platform is recorded in it yet
}

// Provider is one place that clusters come from.
type Provider interface {
	// Up makes the cluster, or recovers it, or attaches to it, and returns when its API server and controllers work. It can
	// be called again at any time, also after an interruption at any moment.
	Up(ctx context.Context, emit func(Progress)) (*Access, error)
	// Access reaches a running cluster and changes nothing. It wraps ErrNotRunning where there is none.
	Access(ctx context.Context) (*Access, error)
	// Down removes what Up made, all of it. Where there is nothing, it succeeds.
	Down(ctx context.Context, emit func(Progress)) error
}

// Access is a running cluster, and the way in.
type Access struct {
	Info       Info
	Config     *rest.Config
	Kubeconfig string // path
	Context    string // in Kubeconfig
}

// Progress is one step of a provider's work. Total is 0 where it isn't known.
type Progress struct {
	Message     string
	Done, Total int
}
