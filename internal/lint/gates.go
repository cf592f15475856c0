package lint

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/idp-blueprint/idp/internal/platform"
)

// awaited are the kinds of which a layer isn't done before each of its objects is Ready.
var awaited = []schema.GroupKind{
	{Group: secretsGroup, Kind: "ExternalSecret"}, {Group: secretsGroup, Kind: "SecretStore"}, {Group: "cert-manager.io", Kind: "Certificate"},
}

// gateMissing: a layer that counts as done while its Secret isn't there lets the next one start pods that can't.
func gateMissing(w *world, report report) {
	for _, layer := range w.platform.Layers {
		for _, o := range w.of(layer) {
			for _, kind := range awaited {
				if !o.is(kind.Group, kind.Kind) || gated(layer, o) {
					continue
				}
				report(o, "no gate of its layer waits for it", fmt.Sprintf("add to the layer's gates in %s: every: {apiVersion: %s, kind: %s, type: Ready}",
					platform.LayersFile, o.GetAPIVersion(), kind.Kind))
			}
		}
	}
}

func gated(layer platform.Layer, o *object) bool {
	for _, g := range layer.Gates {
		if g.Every != nil && o.is(schema.FromAPIVersionAndKind(g.Every.APIVersion, g.Every.Kind).Group, g.Every.Kind) {
			return true
		}
		if c := g.Condition; c != nil && o.is(schema.FromAPIVersionAndKind(c.APIVersion, c.Kind).Group, c.Kind) && c.Name == o.GetName() && c.Namespace == o.namespace {
			return true
		}
	}
	return false
}

// of are the rendered objects of a layer.
func (w *world) of(layer platform.Layer) (objects []*object) {
	for _, o := range w.objects {
		if o.component.App == layer.App {
			objects = append(objects, o)
		}
	}
	return objects
}

// idleGates: a gate over a kind that the layer hasn't got waits for nothing.
func idleGates(w *world) (found []Finding) {
	for _, layer := range w.platform.Layers {
		for _, g := range layer.Gates {
			if g.Every == nil {
				continue
			}
			group, some := schema.FromAPIVersionAndKind(g.Every.APIVersion, g.Every.Kind).Group, false
			for _, o := range w.of(layer) {
				some = some || o.is(group, g.Every.Kind) || o.simulated() // a stand-in hasn't got all that its chart makes
			}
			if !some {
				found = append(found, Finding{
					Rule: ruleIdleGate, Component: layer.App, File: platform.LayersFile, Line: g.Line,
					Message: fmt.Sprintf("the gate waits for every %s, and the layer %s has none", g.Every.Kind, layer.Name), Fix: "remove it, or correct its apiVersion and kind",
				})
			}
		}
	}
	return found
}
