package lint

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	labelName     = "app.kubernetes.io/name"
	labelInstance = "app.kubernetes.io/instance"
	labelPartOf   = "app.kubernetes.io/part-of"
)

// standardLabels: flows, monitors, dashboards and policies pick pods by these labels; a pod without them is cut off from its peers and missing
// in every view by application.
func standardLabels(w *world, report report) {
	for _, o := range w.objects {
		if o.is("", "Namespace") && o.GetLabels()[labelPartOf] == "" {
			report(o, "it has no label "+labelPartOf, "add the label with the platform's name, as common.labels does")
		}
	}
	for _, p := range w.pods {
		if p.made || !p.ours() {
			continue
		}
		if lacks := lacking(p.owner.GetLabels()); len(lacks) > 0 {
			report(p.owner, "it has no label "+strings.Join(lacks, ", "), "add it: "+hintLabels)
		}
		if lacks := lacking(p.template.Labels); len(lacks) > 0 && p.kind != "Pod" {
			report(p.owner, "its pods have no label "+strings.Join(lacks, ", "), "add it to the pod template: "+hintLabels)
		}
	}
}

// lacking are the standard labels that aren't there.
func lacking(have map[string]string) []string {
	var lacks []string
	for _, label := range []string{labelName, labelInstance} {
		if have[label] == "" {
			lacks = append(lacks, label)
		}
	}
	return lacks
}

const hintLabels = "common.labels gives the standard ones, a chart mostly has podLabels or commonLabels"

// duplicates: of an object that two components render, Argo CD lets each take it from the other for ever, and pruning one component
// deletes it for both.
func duplicates(w *world, report report) {
	type key struct {
		kind            schema.GroupKind
		namespace, name string
	}
	first := map[key]*object{}
	for _, o := range w.objects {
		if o.GetName() == "" {
			continue // generateName
		}
		k := key{o.GroupVersionKind().GroupKind(), o.namespace, o.GetName()}
		if earlier, doubled := first[k]; doubled {
			report(o, "it is rendered by "+earlier.component.Path+" too", "leave it to one of them")
			continue
		}
		first[k] = o
	}
}
