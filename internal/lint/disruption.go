package lint

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

// budgetMissing: without a PodDisruptionBudget a drain, or two at once, takes all replicas away together, and having several was for
// nothing.
func budgetMissing(w *world, report report) {
	for _, p := range w.pods {
		if !p.ours() || p.kind == "DaemonSet" || !p.longRunning() || p.replicas < 2 {
			continue
		}
		if !w.budgeted(p) {
			report(p.owner, fmt.Sprintf("it has %d replicas and no PodDisruptionBudget", p.replicas), "add one with maxUnavailable: 1; a chart mostly has podDisruptionBudget or pdb")
		}
	}
}

func (w *world) budgeted(p *pod) bool {
	for _, budget := range w.in(p.namespace, "policy", "PodDisruptionBudget") {
		if selectorAt(budget.Object.Object, "spec", "selector").Matches(labels.Set(p.template.Labels)) {
			return true
		}
	}
	return false
}

// budgetBlocks: a budget that allows no disruption at all makes every drain hang: nodes can't be upgraded or replaced.
func budgetBlocks(w *world, report report) {
	for _, o := range w.objects {
		if !o.is("policy", "PodDisruptionBudget") {
			continue
		}
		replicas := int64(0)
		for _, p := range w.podsIn(o.namespace, selectorAt(o.Object.Object, "spec", "selector")) {
			if p.kind != "DaemonSet" && p.longRunning() {
				replicas += p.replicas
			}
		}
		spec := nestedMap(o.Object.Object, "spec")
		if value, given := spec["maxUnavailable"]; given && share(value, replicas) == 0 {
			report(o, fmt.Sprintf("maxUnavailable: %v allows no pod to be moved", value), "use maxUnavailable: 1, or leave the budget out for a single replica")
		}
		if value, given := spec["minAvailable"]; given && replicas > 0 && share(value, replicas) >= replicas {
			report(o, fmt.Sprintf("minAvailable: %v of %d replicas allows no pod to be moved", value, replicas), "use maxUnavailable: 1, or leave the budget out for a single replica")
		}
	}
}

// share is a number of pods, given as such or in per cent, which rounds up.
func share(value any, of int64) int64 {
	switch v := value.(type) {
	case int64:
		return v
	case string:
		percent, err := strconv.Atoi(strings.TrimSuffix(v, "%"))
		if err != nil {
			return -1
		}
		if percent > 0 && of == 0 {
			return 1
		}
		return int64(math.Ceil(float64(percent) * float64(of) / 100))
	}
	return -1
}

// budgetIdle: a budget whose selector fits no pod protects nothing, though it looks as if.
func budgetIdle(w *world, report report) {
	for _, o := range w.objects {
		if o.is("policy", "PodDisruptionBudget") && len(w.podsIn(o.namespace, selectorAt(o.Object.Object, "spec", "selector"))) == 0 {
			report(o, "its selector fits no pod in "+o.namespace, "give it the labels of the pods that it is for, or remove it")
		}
	}
}

// selectorAt reads a label selector; one that is missing or can't be read matches nothing, as in the API.
func selectorAt(object map[string]any, place ...string) labels.Selector {
	content := nestedMap(object, place...)
	if content == nil {
		return labels.Nothing()
	}
	return selectorOf(content)
}

func selectorOf(content map[string]any) labels.Selector {
	var s metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &s); err != nil {
		return labels.Nothing()
	}
	selector, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		return labels.Nothing()
	}
	return selector
}
