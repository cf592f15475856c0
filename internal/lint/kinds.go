package lint

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/idp-blueprint/idp/internal/platform"
)

// builtIn is true for a group of Kubernetes itself.
func builtIn(group string) bool {
	return scheme.Scheme.IsGroupRegistered(group) || group == "apiextensions.k8s.io" || group == "apiregistration.k8s.io"
}

// crdsOf are the CustomResourceDefinitions of a kind.
func (w *world) crdsOf(kind schema.GroupKind) []*object {
	var found []*object
	for _, o := range w.objects {
		if isCRD(o.Object) && o.text("spec", "group") == kind.Group && o.text("spec", "names", "kind") == kind.Kind {
			found = append(found, o)
		}
	}
	return found
}

// crdMissing: the API server refuses a kind, or a version of it, that no CustomResourceDefinition gives it: the sync fails.
func crdMissing(w *world, report report) {
	for _, o := range w.objects {
		if builtIn(o.group()) {
			continue
		}
		crds := w.crdsOf(o.GroupVersionKind().GroupKind())
		if len(crds) == 0 {
			report(o, fmt.Sprintf("no component brings the kind %s of %s", o.GetKind(), o.group()), "add the component that brings it, or put the object where that is")
			continue
		}
		if version := o.GroupVersionKind().Version; !slices.ContainsFunc(crds, func(crd *object) bool { return serves(crd, version) }) {
			report(o, fmt.Sprintf("the kind %s of %s has no version %s", o.GetKind(), o.group(), version), "use a version that "+crds[0].component.Path+" brings")
		}
	}
}

func serves(crd *object, version string) bool {
	return slices.ContainsFunc(crd.list("spec", "versions"), func(v map[string]any) bool {
		return v["name"] == version && v["served"] != false
	})
}

// crdOrder: a layer that is applied before the one that brings its kinds fails on an empty cluster, though it works on every other.
func crdOrder(w *world, report report) {
	for _, o := range w.objects {
		layer, isLayer := w.platform.Layer(o.component.App)
		if builtIn(o.group()) || !isLayer || o.component.Stack != "" {
			continue // stacks come after all layers, and retry among themselves
		}
		crds := w.crdsOf(o.GroupVersionKind().GroupKind())
		before := w.before(layer)
		if len(crds) > 0 && !slices.ContainsFunc(crds, func(crd *object) bool { return slices.Contains(before, crd.component.App) }) {
			by := crds[0].component
			fix := fmt.Sprintf("add %s to its needs in %s", by.Name, platform.LayersFile)
			if by.Stack != "" {
				fix = "stacks come after all layers: move the object to a stack, or the CustomResourceDefinition to a layer"
			}
			report(o, fmt.Sprintf("its kind comes from %s, which the layer %s doesn't need", by.Path, layer.Name), fix)
		}
	}
}

// before are a layer and all that it needs.
func (w *world) before(layer platform.Layer) []string {
	list := []string{layer.Name}
	for i := 0; i < len(list); i++ {
		if l, ok := w.platform.Layer(list[i]); ok {
			for _, need := range l.Needs {
				if !slices.Contains(list, need) {
					list = append(list, need)
				}
			}
		}
	}
	return list
}
