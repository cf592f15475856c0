package pipelines

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/idp-blueprint/idp/internal/dagger"
	"github.com/idp-blueprint/idp/pipelines/graph"
)

const (
	planDir    = "/plan"
	receiptDir = "/receipts"
)

// plan is the platform, rendered into files: a step that depends on the source alone. gitURL is the repository that Argo CD is to
// follow; empty for what platform.yaml says.
func (s *Site) plan(gitURL string) *dagger.Directory {
	args := []string{"idp", "layers", "plan", "/tmp/plan", "--source", "/src"}
	if gitURL != "" {
		args = append(args, "--git-url", gitURL)
	}
	if s.Strict {
		args = append(args, "--strict")
	}
	return s.Workshop().WithExec(args).Directory("/tmp/plan")
}

// anchor is one file of a directory, in a directory that the engine knows by its content, where before it knew it by how it was made:
// only so is it the same after an edit that doesn't concern it. The way there is out to this function's own folder and in again.
func (s *Site) anchor(ctx context.Context, from *dagger.Directory, as, file string) (*dagger.Directory, error) {
	if _, err := from.File(file).Export(ctx, path.Join(as, file)); err != nil {
		return nil, explain("reading "+file+" of the plan", err)
	}
	return s.Dag.CurrentModule().Workdir(as, dagger.CurrentModuleWorkdirOpts{Include: []string{file}}), nil
}

// readPlan is the plan's index.
func (s *Site) readPlan(ctx context.Context, gitURL string) (graph.Plan, error) {
	content, err := s.plan(gitURL).File("plan.json").Contents(ctx)
	if err != nil {
		return graph.Plan{}, explain("rendering the source", err)
	}
	return graph.ParsePlan(content)
}

// Layers brings layers up on a cluster, each in a step of its own, and says what became of each.
//
// A step is kept under the layer's own file, the receipts of the layers that it needs, the cluster's UID and the turn that the cluster
// has recorded for the layer. So an unchanged layer is a hit, a changed one runs with those that need it, and nothing is taken for done
// on a cluster that has lost it or has gone elsewhere in between.
func (c *Cluster) Layers(ctx context.Context, gitURL string, choose func(graph.Plan) ([]graph.Layer, error)) ([]graph.Applied, error) {
	began := time.Now().UTC()
	plan, err := c.site.readPlan(ctx, gitURL)
	if err != nil {
		return nil, err
	}
	layers, err := choose(plan)
	if err != nil {
		return nil, err
	}
	// Steps that are hits don't need the cluster any more than the state does; between them it must not go and come.
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	state, err := c.state(ctx, gitURL, began)
	if err != nil {
		return nil, err
	}
	steps, err := graph.Steps(layers, state)
	if err != nil {
		return nil, err
	}
	receipts := map[string]*dagger.File{}
	var done []graph.Applied
	for _, step := range steps {
		ran, err := c.step(ctx, step, gitURL, receipts)
		if err != nil {
			return done, err
		}
		output, err := ran.Stdout(ctx)
		if err != nil {
			return done, explain("layer "+step.Name, err, c.Diagnose(ctx))
		}
		applied, err := graph.ParseApplied(output, began)
		if err != nil {
			return done, fmt.Errorf("layer %s: %w", step.Name, err)
		}
		receipts[step.Name] = ran.File("/tmp/receipt")
		done = append(done, applied)
	}
	return done, nil
}

// start starts the cluster's services; they run until the session ends.
func (c *Cluster) start(ctx context.Context) error {
	for _, service := range append([]*dagger.Service{c.Server}, c.Agents...) {
		if _, err := service.Start(ctx); err != nil {
			return explain("starting the cluster", err)
		}
	}
	return nil
}

// state asks the cluster which layers it has. call makes it another step at every call: what a cluster has is never kept.
func (c *Cluster) state(ctx context.Context, gitURL string, call time.Time) (graph.State, error) {
	output, err := c.Bound(c.site.base()).
		WithMountedDirectory(planDir, c.site.plan(gitURL)).
		WithEnvVariable("IDP_CALL", call.Format(time.RFC3339Nano)).
		WithExec(append([]string{"idp", "layers", "state", planDir}, c.attach()...)).
		Stdout(ctx)
	if err != nil {
		return graph.State{}, explain("asking the cluster which layers it has", err, c.Diagnose(ctx))
	}
	return graph.ParseState(output)
}

// step is one layer's step.
func (c *Cluster) step(ctx context.Context, step graph.Step, gitURL string, receipts map[string]*dagger.File) (*dagger.Container, error) {
	args := append([]string{"idp", "layers", "apply", "/in/" + step.File, "--yes", "--turn", step.Turn, "--receipt", "/tmp/receipt"}, c.attach()...)
	files := []string{step.File}
	if step.Among {
		files = append(files, "objects.json")
		args = append(args, "--among", "/in/objects.json")
	}
	if step.HandOver {
		files = append(files, "definitions.json")
		args = append(args, "--definitions", "/in/definitions.json")
	}
	ctr := c.Bound(c.site.base()).WithEnvVariable("IDP_CLUSTER_UID", step.UID)
	for _, file := range files {
		in, err := c.site.anchor(ctx, c.site.plan(gitURL), step.Name, file)
		if err != nil {
			return nil, err
		}
		ctr = ctr.WithMountedFile("/in/"+file, in.File(file))
	}
	for _, need := range step.Needs {
		if receipt := receipts[need]; receipt != nil {
			ctr = ctr.WithMountedFile(receiptDir+"/"+need, receipt)
		}
	}
	return ctr.WithExec(args), nil
}

// diagnoseBound is how long looking for the reason of a failure may take.
const diagnoseBound = time.Minute

// Diagnose says what a cluster looks like on which something failed: nodes, pods that aren't ready with the end of their logs, events.
func (c *Cluster) Diagnose(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), diagnoseBound)
	defer cancel()
	const script = `kubectl get nodes -o wide
kubectl get pods -A --field-selector=status.phase!=Running,status.phase!=Succeeded
kubectl get events -A --field-selector=type=Warning --sort-by=.lastTimestamp | tail -30
kubectl get pods -A --no-headers --field-selector=status.phase!=Running,status.phase!=Succeeded | head -3 | while read -r namespace pod rest; do
  echo "--- logs of $namespace/$pod"; kubectl logs -n "$namespace" "$pod" --all-containers --tail=30
done
true`
	output, err := c.Bound(c.site.base()).
		WithEnvVariable("IDP_CALL", time.Now().UTC().Format(time.RFC3339Nano)).
		WithExec([]string{"timeout", "45", "sh", "-c", script + "\n"}, dagger.ContainerWithExecOpts{Expect: dagger.ReturnTypeAny}).
		CombinedOutput(ctx)
	if err != nil {
		return "the cluster could not be looked at: " + err.Error()
	}
	return output
}
