// Package pipelines is the Dagger graph: which containers and services there are and what flows between them. What is decided
// without an engine (names, keys, flags, order) is in the packages below it, which know nothing of Dagger and are tested alone.
package pipelines

import "github.com/idp-blueprint/idp/internal/dagger"

// Site is one platform's source and the means to build it.
type Site struct {
	Dag    *dagger.Client
	Source *dagger.Directory // the platform
	// What programs are compiled from. Each is a directory that the engine knows by its content: one cut out of another would be
	// known by how it was made, and be another after every edit of the whole.
	Code, ControlPlane, Tools, Tests *dagger.Directory

	Charts  *dagger.Directory // archives of charts, as idp keeps them in its cache; nil: they come from their repositories
	Mirror  string            // registry that stands in for all others; empty: none
	GoProxy string            // empty: Go's own
	Name    string            // of the cluster
	Strict  bool              // fail where a stand-in would replace a chart that can't be had
}
