package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/idp-blueprint/idp/internal/apply"
	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/ui"
	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
)

// applicationsKey stands beside the layers' keys in a snapshot that was taken after Argo CD had synced everything.
const applicationsKey = "applications"

// applicationsBound is how long Argo CD may take to bring every Application to Synced and Healthy.
const applicationsBound = 15 * time.Minute

func newUp(s streams, o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the platform up, or bring a running one to what the checkout says",
		Long: `up starts the cluster, applies the layers of IT/ in the order of IT/layers.yaml, and hands the platform over to Argo CD.

It can be run at any time. A layer whose rendered objects, gates and needs are unchanged is not applied again. A new cluster
starts from the deepest snapshot of an earlier one that fits. After an interruption, run it again: it goes on.`,
		Example: `  idp up
  idp up --name demo -o json | tail -1 | jq .ready
  idp up --cluster existing --context lab --git-url https://example.org/platform.git`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), o.timeout,
				fmt.Errorf("idp up did not end within --timeout %s: %w", o.timeout, context.DeadlineExceeded))
			defer cancel()
			return up(ctx, s, o)
		},
	}
	o.bindGit(cmd.Flags())
	cmd.Flags().BoolVar(&o.yes, "yes", false, "install on an existing cluster without being asked")
	return cmd
}

func up(ctx context.Context, s streams, o *options) error {
	if err := o.validate(); err != nil {
		return err
	}
	view := newView(s, o)
	report, err := climb(ctx, s, o, view.Show)
	view.Close()
	if err != nil {
		return err
	}
	return report.print(s.out, o)
}

// climb is the way up; show hears of every step.
func climb(ctx context.Context, s streams, o *options, show func(ui.Event)) (*report, error) {
	started := time.Now()
	prep, err := prepare(ctx, o, show)
	if err != nil {
		return nil, err
	}
	defer prep.close()
	if _, handsOver := prep.handOver(); handsOver && o.cluster == "existing" && o.gitURL == "" && prep.platform.Config.Git.URL == "" {
		return nil, usagef("--cluster existing needs --git-url, or global.platform.git.url in platform.yaml: Argo CD there can't reach this checkout")
	}

	source, err := sealed(ctx, o, prep)
	if err != nil {
		return nil, err
	}
	wanted := prep.keys()
	wanted[applicationsKey] = source.key
	provider, err := newProvider(o, s, prep.platform, wanted)
	if err != nil {
		return nil, err
	}
	var commit gitops.Commit
	if early, ok := provider.(preparer); ok {
		// Argo CD of a running or restored cluster looks for the commit as soon as it starts.
		early.BeforeStart(func(ctx context.Context) (err error) {
			commit, err = publish(ctx, provider, prep, source, show)
			return err
		})
	}
	access, err := startCluster(ctx, provider, show)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(access.Config)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	if handOver, ok := prep.handOver(); ok && !settledAt(ctx, client, handOver, prep, commit) {
		if err := createDefinitions(ctx, access, prep, cache, show); err != nil {
			return nil, err
		}
	}
	if err := catchUp(ctx, client, prep, commit, show); err != nil {
		return nil, err
	}
	outcomes, err := applyLayers(ctx, access, provider, prep, show)
	if err != nil {
		return nil, err
	}
	apps, changed, err := follow(ctx, client, prep, commit, show)
	if err != nil {
		return nil, err
	}
	if server, ok := provider.(reconciling); ok && apps != nil {
		if err := server.AwaitRunning(ctx); err != nil {
			return nil, err
		}
	}
	if keeper, ok := provider.(bootstrap.Snapshotter); ok && (changed || anyApplied(outcomes)) {
		if err := keeper.Save(ctx, wanted); err != nil {
			show(event(ui.PhaseNote, "snapshot", ui.StateFailed, "not kept: "+err.Error(), 0))
		}
	}
	took := time.Since(started)
	// What is simulated shows only as the platform comes up.
	if access, err = provider.Access(ctx); err != nil {
		return nil, err
	}
	return newReport(ctx, access, provider, prep, outcomes, apps, took)
}

func startCluster(ctx context.Context, provider cluster.Provider, show func(ui.Event)) (*cluster.Access, error) {
	started := time.Now()
	access, err := provider.Up(ctx, func(p cluster.Progress) {
		e := event(ui.PhaseCluster, "", ui.StateRunning, p.Message, 0)
		e.Done, e.Total = p.Done, p.Total
		show(e)
	})
	if err != nil {
		return nil, err
	}
	show(event(ui.PhaseCluster, "", ui.StateDone, fmt.Sprintf("%s, %s, Kubernetes %s at %s",
		access.Info.Name, access.Info.Provider, access.Info.Kubernetes, access.Config.Host), time.Since(started)))
	return access, nil
}

// gitSource is what Argo CD will follow: a commit of the checkout, or somebody's repository.
type gitSource struct {
	sha string // of the checkout's commit; empty with --git-url
	key string // stands for the whole of what Argo CD reads
}

// sealed names the commit before there is a cluster to publish it to, since it decides which snapshot fits.
func sealed(ctx context.Context, o *options, prep *prepared) (gitSource, error) {
	if o.gitURL != "" {
		return gitSource{key: o.gitURL + "@" + o.revision}, nil
	}
	scratch, err := scratchRepository()
	if err != nil {
		return gitSource{}, err
	}
	sha, err := gitops.Seal(ctx, prep.staged, scratch)
	return gitSource{sha: sha, key: sha}, err
}

// repository is a provider that serves Git itself.
type repository interface{ GitDir() string }

// preparer is a provider that lets its cluster be prepared before it starts.
type preparer interface {
	BeforeStart(func(context.Context) error)
}

// reconciling is a provider that runs Argo CD's processes itself.
type reconciling interface{ AwaitRunning(context.Context) error }

// publish puts the checkout's commit where Argo CD reads it.
func publish(ctx context.Context, provider cluster.Provider, prep *prepared, source gitSource, show func(ui.Event)) (gitops.Commit, error) {
	server, ok := provider.(repository)
	if !ok || source.sha == "" {
		return gitops.Commit{}, nil
	}
	if _, err := gitops.Seal(ctx, prep.staged, server.GitDir()); err != nil {
		return gitops.Commit{}, err
	}
	commit, err := gitops.Publish(ctx, server.GitDir(), source.sha)
	if err != nil {
		return gitops.Commit{}, err
	}
	message := "unchanged, commit " + commit.SHA[:12]
	if commit.Changed {
		message = "commit " + commit.SHA[:12]
	}
	show(event(ui.PhasePublish, "", ui.StateDone, message, 0))
	return commit, nil
}

// settledAt reports whether Argo CD holds everything at the commit already. Without an answer it doesn't: there may be no Argo CD yet.
func settledAt(ctx context.Context, client dynamic.Interface, handOver platform.Component, prep *prepared, commit gitops.Commit) bool {
	apps, err := gitops.NewArgoCD(client, handOver.Namespace).Applications(ctx)
	want := prep.want(handOver, commit)
	return err == nil && want.Met(apps)
}

// want is Argo CD's state once it holds the platform as it was published.
func (p *prepared) want(handOver platform.Component, commit gitops.Commit) gitops.Want {
	return gitops.Want{Applications: p.applications(), Root: handOver.App, Revision: commit.SHA}
}

// catchUpBound is how long Argo CD may take to see a new commit before its layers are applied. It is not waited for longer: what
// the layers bring may be what repairs it.
const catchUpBound = 45 * time.Second

// catchUp keeps bootstrap from applying what an Argo CD that is already at work would prune by the commit before.
func catchUp(ctx context.Context, client dynamic.Interface, prep *prepared, commit gitops.Commit, show func(ui.Event)) error {
	handOver, ok := prep.handOver()
	if !ok || commit.SHA == "" {
		return nil
	}
	var layers []string
	for _, layer := range prep.platform.Layers {
		layers = append(layers, layer.App)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, catchUpBound, fmt.Errorf("waited %s: %w", catchUpBound, context.DeadlineExceeded))
	defer cancel()
	err := gitops.NewArgoCD(client, handOver.Namespace).CatchUp(bounded, layers, commit.SHA)
	if err != nil && ctx.Err() == nil {
		show(event(ui.PhaseNote, "argocd", ui.StateFailed, "going on without it: "+err.Error(), 0))
		return nil
	}
	return context.Cause(ctx)
}

func applyLayers(ctx context.Context, access *cluster.Access, provider cluster.Provider, prep *prepared, show func(ui.Event)) ([]bootstrap.Outcome, error) {
	applier, err := apply.New(access.Config)
	if err != nil {
		return nil, err
	}
	records, err := bootstrap.NewRecords(access.Config)
	if err != nil {
		return nil, err
	}
	runner := &bootstrap.Runner{Applier: applier, Records: records, Emit: func(e bootstrap.Event) { show(layerEvent(e)) }}
	if keeper, ok := provider.(bootstrap.Snapshotter); ok {
		runner.Snapshots = keeper
	}
	runner.Seeder = seeder{access}
	return runner.Run(ctx, prep.steps)
}

func anyApplied(outcomes []bootstrap.Outcome) bool {
	for _, o := range outcomes {
		if o.State != bootstrap.StateCached {
			return true
		}
	}
	return false
}

// follow waits until Argo CD holds the platform as it was published. changed says whether it had anything to do.
func follow(ctx context.Context, client dynamic.Interface, prep *prepared, commit gitops.Commit, show func(ui.Event)) ([]gitops.Application, bool, error) {
	handOver, ok := prep.handOver()
	if !ok {
		return nil, false, nil
	}
	argo := gitops.NewArgoCD(client, handOver.Namespace)
	want := prep.want(handOver, commit)
	apps, err := argo.Applications(ctx)
	if err == nil && want.Met(apps) {
		showApplications(prep.platform, apps, show)
		return apps, false, nil
	}
	if err := argo.Refresh(ctx); err != nil {
		return nil, true, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, applicationsBound,
		fmt.Errorf("waited %s: %w", applicationsBound, context.DeadlineExceeded))
	defer cancel()
	apps, err = argo.Wait(ctx, want, func(now []gitops.Application) { showApplications(prep.platform, now, show) })
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return apps, true, context.Canceled
	}
	return apps, true, err
}
