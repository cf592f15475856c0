// The internal developer platform as a graph of containers: the same layers, by the same program, on a laptop and in CI.
//
// Everything is made from the source directory: the toolchain is compiled from it, the cluster gets its nodes from platform.yaml, the
// layers come from IT/layers.yaml. Each layer is a step of its own: unchanged, it is a hit; changed, it runs, with the layers that need it.
//
//	dagger call bootstrap --provider embedded     the layers, and which of them ran
//	dagger call up up                             the platform, reachable from this host
//	dagger call check                             what CI runs
package main

import (
	"context"
	"time"

	"github.com/idp-blueprint/idp/internal/dagger"
	"github.com/idp-blueprint/idp/pipelines"
	"github.com/idp-blueprint/idp/pipelines/graph"
)

// Idp is the platform of one source directory.
type Idp struct {
	// +private
	Source *dagger.Directory
	// +private
	Code *dagger.Directory
	// +private
	ControlPlane *dagger.Directory
	// +private
	Tools *dagger.Directory
	// +private
	Tests *dagger.Directory
	// +private
	Charts *dagger.Directory
	// +private
	Mirror string
	// +private
	GoProxy string
	// +private
	Name string
	// +private
	Strict bool
}

// New takes what all functions work with.
func New(
	// The platform: IT/, K8s/, Policies/ and platform.yaml of a checkout, or of any Git reference.
	// +defaultPath="/"
	// +ignore=["**", "!IT", "!K8s", "!Policies", "!platform.yaml", "!platform.schema.json"]
	source *dagger.Directory,
	// What idp is compiled from. This and the next three come from the checkout of the module; each stands alone, so that an edit of
	// one makes nothing anew that only depends on another.
	// +defaultPath="/"
	// +ignore=["**", "!cmd", "!internal", "!go.mod", "!go.sum", "**/*_test.go", "**/testdata", "internal/dagger"]
	code *dagger.Directory,
	// What the embedded control plane is compiled from.
	// +defaultPath="/embedded"
	// +ignore=["**/*_test.go", "**/testdata", "**/*.md"]
	controlPlane *dagger.Directory,
	// What the command line tools are compiled from.
	// +defaultPath="/tools"
	tools *dagger.Directory,
	// What the tests run on: all of the checkout.
	// +defaultPath="/"
	// +ignore=[".git", ".github", "docs"]
	tests *dagger.Directory,
	// Chart archives, as idp keeps them in its cache; for networks without the charts' repositories.
	// +optional
	charts *dagger.Directory,
	// Registry that stands in for all others, such as registry.example/cache; each image keeps its path there.
	// +optional
	registryMirror string,
	// Go module proxy that the toolchain's modules come from; Go's own where none is said.
	// +optional
	goProxy string,
	// Name of the cluster; clusters of different names have nothing in common.
	// +default="idp"
	name string,
	// Fail where a chart can't be had, instead of standing in for it on the embedded cluster.
	// +optional
	strict bool,
) *Idp {
	return &Idp{
		Source: source, Code: code, ControlPlane: controlPlane, Tools: tools, Tests: tests,
		Charts: charts, Mirror: registryMirror, GoProxy: goProxy, Name: name, Strict: strict,
	}
}

// Toolchain is a container with idp, the embedded control plane, helm, kubectl and kustomize, compiled from pinned Go modules.
// `dagger call toolchain terminal` opens a shell in it.
func (m *Idp) Toolchain() *dagger.Container { return m.site().Toolchain() }

// Cluster is the API server of a cluster without any layer, as a service; its agents join it.
// +cache="session"
func (m *Idp) Cluster(
	ctx context.Context,
	// Where the cluster comes from: k3s, which runs pods and needs privileges, or embedded, which simulates nodes and needs none.
	// +default="k3s"
	provider string,
	// Nodes, the server included; 0 for all that platform.yaml names.
	// +default=0
	nodes int,
) (*dagger.Service, error) {
	c, err := m.site().Cluster(ctx, provider, nodes)
	if err != nil {
		return nil, err
	}
	return c.Started(ctx)
}

// Kubeconfig of a cluster. It holds a private key.
// +cache="never"
func (m *Idp) Kubeconfig(
	ctx context.Context,
	// Where the cluster comes from: k3s or embedded.
	// +default="k3s"
	provider string,
	// For this host, where `up` forwards port 6443, instead of for containers of the same session.
	// +optional
	local bool,
) (*dagger.File, error) {
	c, err := m.site().Cluster(ctx, provider, 0)
	if err != nil {
		return nil, err
	}
	return c.Kubeconfig(now(), local), nil
}

// Layer brings up one layer and those that it needs, each in a step of its own, and says what became of them.
// +cache="never"
func (m *Idp) Layer(
	ctx context.Context,
	// Name of the layer, as in IT/layers.yaml.
	name string,
	// Where the cluster comes from: k3s or embedded.
	// +default="k3s"
	provider string,
) (string, error) {
	return m.layers(ctx, provider, func(p graph.Plan) ([]graph.Layer, error) { return p.Upto(name) })
}

// Bootstrap brings up all layers but the hand-over, each in a step of its own, and says what became of them.
// +cache="never"
func (m *Idp) Bootstrap(
	ctx context.Context,
	// Where the cluster comes from: k3s or embedded.
	// +default="k3s"
	provider string,
) (string, error) {
	return m.layers(ctx, provider, func(p graph.Plan) ([]graph.Layer, error) { return p.Before(), nil })
}

// HandOver brings up all layers and hands the platform over to Argo CD, which follows the source through a Git service in the graph.
// It ends when every Application is Synced and Healthy.
// +cache="never"
func (m *Idp) HandOver(
	ctx context.Context,
	// Where the cluster comes from: k3s or embedded.
	// +default="k3s"
	provider string,
	// Repository that Argo CD follows instead.
	// +optional
	gitUrl string,
) (string, error) {
	c, err := m.site().Cluster(ctx, provider, 0)
	if err != nil {
		return "", err
	}
	return c.HandOver(ctx, gitUrl)
}

// Up is the whole platform as a service for this host: the API at 6443 and, where pods run, the gateway at 80 and 443.
//
//	dagger call up up --ports 6443:6443 --ports 8080:80 --ports 8443:443
//
// +cache="never"
func (m *Idp) Up(
	ctx context.Context,
	// Where the cluster comes from: k3s or embedded.
	// +default="k3s"
	provider string,
) (*dagger.Service, error) {
	c, err := m.site().Cluster(ctx, provider, 0)
	if err != nil {
		return nil, err
	}
	if _, err := c.HandOver(ctx, ""); err != nil {
		return nil, err
	}
	return c.Entrance(ctx)
}

// Preview brings another state of the platform up on a cluster of its own name, says how it differs from this one and what became of
// it, and throws it away.
// +cache="never"
func (m *Idp) Preview(
	ctx context.Context,
	// The state to look at: a directory, or a Git reference such as https://example.org/platform#pull/7/head.
	// +ignore=["**", "!IT", "!K8s", "!Policies", "!platform.yaml", "!platform.schema.json"]
	source *dagger.Directory,
	// Name of the preview, such as pr-7.
	// +default="preview"
	name string,
	// Where the cluster comes from: embedded or k3s.
	// +default="embedded"
	provider string,
	// Only compare what is rendered; start no cluster.
	// +optional
	renderOnly bool,
) (string, error) {
	return m.site().Preview(ctx, source, name, provider, renderOnly)
}

// Render is what bootstrap applies and Argo CD renders: a file of manifests for each component, and what Argo CD reads.
func (m *Idp) Render() *dagger.Directory { return m.site().Render() }

// Lock is the source's IT/, K8s/ and Policies/ with inventories made anew from the charts.
func (m *Idp) Lock() *dagger.Directory { return m.site().Lock() }

// Images lists the images that the platform runs, for a mirror.
func (m *Idp) Images(ctx context.Context) (string, error) { return m.site().Images(ctx) }

// Check is what CI runs on every change: lint, unit and policies.
// +check
func (m *Idp) Check(ctx context.Context) (string, error) { return m.site().Check(ctx) }

// Lint checks what is rendered, and that the inventories are those of the charts.
// +check
func (m *Idp) Lint(ctx context.Context) (string, error) { return m.site().Lint(ctx) }

// Unit vets the code and runs the tests that need no control plane.
// +check
func (m *Idp) Unit(ctx context.Context) (string, error) { return m.site().Unit(ctx) }

// Policies renders the policies and checks them as every other component is.
// +check
func (m *Idp) Policies(ctx context.Context) (string, error) { return m.site().Policies(ctx) }

// E2E runs the end-to-end tests on embedded clusters.
// +cache="session"
func (m *Idp) E2E(ctx context.Context) (string, error) { return m.site().E2E(ctx) }

func (m *Idp) site() *pipelines.Site {
	return &pipelines.Site{
		Dag: dag, Source: m.Source, Code: m.Code, ControlPlane: m.ControlPlane, Tools: m.Tools, Tests: m.Tests, Charts: m.Charts, Mirror: m.Mirror, GoProxy: m.GoProxy, Name: m.Name, Strict: m.Strict,
	}
}

func (m *Idp) layers(ctx context.Context, provider string, choose func(graph.Plan) ([]graph.Layer, error)) (string, error) {
	c, err := m.site().Cluster(ctx, provider, 0)
	if err != nil {
		return "", err
	}
	done, err := c.Layers(ctx, "", choose)
	if err != nil {
		return graph.Table(done), err
	}
	return graph.Table(done), nil
}

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }
