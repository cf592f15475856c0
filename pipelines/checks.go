package pipelines

import (
	"context"
	"fmt"
	"strings"

	"github.com/idp-blueprint/idp/internal/dagger"
)

// Render is a file of manifests for each component, the list of images, and what Argo CD reads.
func (s *Site) Render() *dagger.Directory {
	const script = `set -eu
mkdir -p /tmp/out
idp render --source /src --per-component /tmp/out
idp images --source /src > /tmp/out/images.txt
idp render --source /src --staged /tmp/out/staged
`
	return s.Workshop().WithExec([]string{"bash", "-c", script}).Directory("/tmp/out")
}

// Lock makes the inventories anew from the real charts.
func (s *Site) Lock() *dagger.Directory {
	return s.Workshop().WithExec([]string{"idp", "lock", "--source", "/src"}).Directory("/src")
}

// Images lists the images that the platform runs.
func (s *Site) Images(ctx context.Context) (string, error) {
	return s.Workshop().WithExec([]string{"idp", "images", "--source", "/src"}).Stdout(ctx)
}

// Lint checks what is rendered.
func (s *Site) Lint(ctx context.Context) (string, error) {
	return s.Workshop().WithExec([]string{"idp", "lint", "--source", "/src"}).CombinedOutput(ctx)
}

// Policies lints the stack of the policies alone.
func (s *Site) Policies(ctx context.Context) (string, error) {
	const script = `cd /src && idp lint --source /src $(for folder in Policies/*/Chart.yaml; do dirname "$folder"; done)`
	return s.Workshop().WithExec([]string{"bash", "-c", script}).CombinedOutput(ctx)
}

// tree is a container with the whole source and Go.
func (s *Site) tree() *dagger.Container {
	return s.golang().
		WithMountedDirectory("/src", s.Tests).
		WithWorkdir("/src")
}

// Unit vets the code and runs the tests that need no control plane; embedded/ and tests/ have theirs in E2E.
func (s *Site) Unit(ctx context.Context) (string, error) {
	const script = `set -eu
go build ./... && go vet ./...
go test $(go list ./... | grep -v /tests/)`
	return s.tree().WithExec([]string{"bash", "-c", script}).CombinedOutput(ctx)
}

// E2E runs what crosses packages, on embedded clusters.
func (s *Site) E2E(ctx context.Context) (string, error) {
	return s.tree().
		WithDirectory("/root/.cache/idp/embedded", s.controlPlane()).
		WithExec([]string{"go", "test", "-timeout", "60m", "./tests/..."}).
		CombinedOutput(ctx)
}

// Check runs the parts that CI runs on every change, the quickest first.
func (s *Site) Check(ctx context.Context) (string, error) {
	var report strings.Builder
	for _, part := range []struct {
		name string
		run  func(context.Context) (string, error)
	}{{"lint", s.Lint}, {"policies", s.Policies}, {"unit", s.Unit}} {
		output, err := part.run(ctx)
		if err != nil {
			return "", explain(part.name, err)
		}
		fmt.Fprintf(&report, "== %s\n%s\n", part.name, output)
	}
	return report.String(), nil
}
