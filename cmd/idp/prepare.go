package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
	"github.com/idp-blueprint/idp/internal/ui"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// prepared is a checkout, read and rendered: all that can be known before a cluster is touched.
type prepared struct {
	platform *platform.Platform
	staged   string            // the folder that is published: the checkout's platform with its charts
	sources  map[string]string // Application name → where its charts came from
	steps    []bootstrap.Step
}

// close removes the staged folder.
func (p *prepared) close() { _ = os.RemoveAll(p.staged) }

// keys are the layers' keys, by layer.
func (p *prepared) keys() map[string]string {
	keys := map[string]string{}
	for _, s := range p.steps {
		keys[s.Layer.Name] = s.Key
	}
	return keys
}

// prepare loads, validates, stages and renders the checkout. Whatever is wrong with the input shows here, with nothing changed.
func prepare(ctx context.Context, o *options, show func(ui.Event)) (*prepared, error) {
	p, err := load(o)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	staged, err := stagingFolder(cache)
	if err != nil {
		return nil, err
	}
	prep := &prepared{platform: p, staged: staged}
	if err := prep.fill(ctx, o, cache, show); err != nil {
		prep.close()
		return nil, err
	}
	return prep, nil
}

// stagingFolder is a new folder in the cache for a staged platform; whoever asks removes it.
func stagingFolder(cache string) (string, error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	staged, err := os.MkdirTemp(cache, "staged-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the staged platform: %w", err)
	}
	return staged, nil
}

func load(o *options) (*platform.Platform, error) {
	root, err := o.root()
	if err != nil {
		return nil, err
	}
	return platform.Load(os.DirFS(root), root)
}

func (p *prepared) fill(ctx context.Context, o *options, cache string, show func(ui.Event)) error {
	started := time.Now()
	charts := &vendorer{root: p.platform.Root, resolver: newResolver(o, cache), show: show}
	sources, err := gitops.Stage(ctx, p.platform, charts, p.staged)
	if err != nil {
		return err
	}
	p.sources = sources
	if p.steps, err = renderLayers(ctx, p.platform, p.staged, cache, o.parameters()); err != nil {
		return err
	}
	show(event(ui.PhaseCharts, "", ui.StateDone, summary(sources), time.Since(started)))
	return nil
}

func newResolver(o *options, cache string) *chart.Resolver {
	return chart.NewResolver(chart.Options{
		CacheDir: filepath.Join(cache, "charts"),
		Offline:  o.offline,
		Strict:   o.strict,
		StandIns: o.cluster == "embedded",
	})
}

// parameters are the Helm parameters that the hand-over gets beyond platform.yaml.
func (o *options) parameters() map[string]string {
	if o.gitURL == "" {
		return nil
	}
	set := map[string]string{"global.platform.git.url": o.gitURL}
	if o.revision != "" {
		set["global.platform.git.revision"] = o.revision
	}
	return set
}

// renderLayers renders every layer and chains their keys.
func renderLayers(ctx context.Context, p *platform.Platform, staged, cache string, handOver map[string]string) ([]bootstrap.Step, error) {
	requests := make([]componentRequest, len(p.Layers))
	for i, layer := range p.Layers {
		requests[i] = componentRequest{layer.Component, renderRequest(p, layer.Component, staged)}
		if layer.HandOver {
			requests[i].render.Parameters = handOver
		}
	}
	rendered, err := renderAll(ctx, requests, cache)
	if err != nil {
		return nil, err
	}
	steps := make([]bootstrap.Step, len(p.Layers))
	keys := map[string]string{}
	for i := range steps {
		s := &steps[i]
		s.Layer, s.Objects = p.Layers[i], rendered[i]
		var needs []string
		for _, name := range s.Layer.Needs {
			needs = append(needs, keys[name])
		}
		s.Key = platform.Key(bootstrap.Schema, render.JSON(s.Objects), s.Layer.Gates, needs)
		keys[s.Layer.Name] = s.Key
	}
	return steps, nil
}

// componentRequest is what to render, and whom a failure belongs to.
type componentRequest struct {
	component platform.Component
	render    render.Request
}

// renderAll renders side by side, through the cache of renders; the results are in the order of the requests. All that fail are
// named, not the first alone.
func renderAll(ctx context.Context, requests []componentRequest, cache string) ([][]*unstructured.Unstructured, error) {
	renderer := render.Cached(filepath.Join(cache, "render"))
	rendered := make([][]*unstructured.Unstructured, len(requests))
	failed := make([]error, len(requests))
	var group errgroup.Group
	group.SetLimit(4)
	for i, r := range requests {
		group.Go(func() error {
			objects, err := renderer.Render(ctx, r.render)
			rendered[i], failed[i] = objects, asInput(r.component, err)
			return nil
		})
	}
	_ = group.Wait()
	return rendered, errors.Join(failed...)
}

// asInput names the file of the checkout that a render failed on, since that is where it is put right.
func asInput(c platform.Component, err error) error {
	var failed *render.Error
	if !errors.As(err, &failed) {
		return err
	}
	return &platform.InputError{File: path.Join(c.Path, failed.File), Line: failed.Line, Msg: failed.Msg, Hint: failed.Hint}
}

func renderRequest(p *platform.Platform, c platform.Component, staged string) render.Request {
	var files []string
	for _, file := range p.ValueFiles(c) {
		files = append(files, filepath.Join(staged, filepath.FromSlash(file)))
	}
	return render.Request{
		Dir:         filepath.Join(staged, filepath.FromSlash(c.Path)),
		App:         c.App,
		Release:     c.Name,
		Namespace:   c.Namespace,
		ValueFiles:  files,
		KubeVersion: p.Config.Kubernetes.Version,
		APIVersions: p.Config.Kubernetes.APIVersions,
		SkipTests:   true,
	}
}

// vendorer lets gitops.Stage get charts without knowing how they are found.
type vendorer struct {
	root     string
	resolver *chart.Resolver
	show     func(ui.Event)
}

func (v *vendorer) Vendor(ctx context.Context, c platform.Component, dest string) (string, error) {
	v.show(event(ui.PhaseCharts, "", ui.StateRunning, c.Path, 0))
	source, err := v.resolver.Vendor(ctx, v.root, c, dest)
	if err != nil {
		return "", err
	}
	return string(source), v.resolver.CheckValues(ctx, v.root, c)
}

// summary counts where the charts came from.
func summary(sources map[string]string) string {
	count := map[string]int{}
	for _, source := range sources {
		count[source]++
	}
	text := ""
	for _, kind := range []struct{ source, words string }{
		{"upstream", "from upstream"}, {"cache", "from the cache"}, {"inventory", "simulated from their inventory"}, {"none", "of our own"},
	} {
		if n := count[kind.source]; n > 0 {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%d %s", n, kind.words)
		}
	}
	return text
}

func event(phase, name, state, message string, took time.Duration) ui.Event {
	return ui.Event{Time: time.Now(), Phase: phase, Name: name, State: state, Message: message, Seconds: took.Seconds()}
}

// handOver is the layer with which Argo CD takes over.
func (p *prepared) handOver() (platform.Component, bool) {
	for _, layer := range p.platform.Layers {
		if layer.HandOver {
			return layer.Component, true
		}
	}
	return platform.Component{}, false
}

// applications are the names of the Applications that Argo CD must end up with; none where no layer hands over to it.
func (p *prepared) applications() []string {
	if _, handsOver := p.handOver(); !handsOver {
		return nil
	}
	var names []string
	for _, c := range p.platform.Components() {
		names = append(names, c.App)
	}
	return names
}

// scratchRepository is where a commit gets its name before there is a cluster to publish it to.
func scratchRepository() (string, error) {
	cache, err := cacheDir()
	return filepath.Join(cache, "git"), err
}
