// Package render turns a component's chart into objects: the ones that Argo CD's repo server makes of the same folder and values,
// in the same order, with the same tracking annotations. It never talks to a cluster or to the network.
package render

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Object is one rendered object.
type Object = *unstructured.Unstructured

// Request is all that a render depends on.
type Request struct {
	Dir              string            // folder with Chart.yaml, templates/ and charts/, the latter with every dependency
	App              string            // name of the Argo CD Application, for tracking
	Release          string            // Helm release name
	Namespace        string            // the Application's destination namespace
	ValueFiles       []string          // absolute paths; later ones win, and all of them over the chart's values.yaml
	Parameters       map[string]string // Helm parameters (--set); they win over files
	StringParameters map[string]string // the same, taken as strings (--set-string, Argo CD's forceString)
	KubeVersion      string            // .Capabilities.KubeVersion, "v1.37.2"; empty for Helm's default
	APIVersions      []string          // .Capabilities.APIVersions beyond the built-in ones
	SkipTests        bool              // leave Helm's test hooks out, as helm.skipTests of an Application does
	SkipCRDs         bool              // leave crds/ out, as helm.skipCrds does
	SkipSchema       bool              // don't check values against the charts' schemas, as helm.skipSchemaValidation does
}

// Renderer renders requests. Render and a Cache are renderers.
type Renderer interface {
	Render(ctx context.Context, r Request) ([]Object, error)
}

// Render gives the objects that Argo CD v3.6's repo server gives for a Helm source of the same folder: Helm's manifests in install
// order with crds/ first and hooks last, empty documents dropped, lists taken apart, and the tracking annotation on everything but
// CustomResourceDefinitions. Namespaces stay as the templates wrote them: where they are left out, it is the controller that fills
// them in. Errors are *Error and name the component and, where there is one, the template and its line.
func Render(ctx context.Context, r Request) ([]Object, error) {
	type result struct {
		objects []Object
		err     error
	}
	done := make(chan result, 1)
	go func() {
		objects, err := render(ctx, r)
		done <- result{objects, err}
	}()
	// Helm can't be interrupted. A cancelled render is left to end by itself, so that its caller needn't wait for it.
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("render %s: %w", r.App, ctx.Err())
	case result := <-done:
		return result.objects, result.err
	}
}

func render(ctx context.Context, r Request) ([]Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("render %s: %w", r.App, err)
	}
	manifest, err := template(ctx, r)
	if err != nil {
		return nil, explain(r, err)
	}
	documents, err := split(manifest)
	if err != nil {
		return nil, explain(r, err)
	}
	objects, err := flatten(documents)
	if err != nil {
		return nil, explain(r, err)
	}
	for _, o := range objects {
		if err := track(o, r.App, r.Namespace); err != nil {
			return nil, explain(r, err)
		}
	}
	return objects, nil
}
