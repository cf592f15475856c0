package apply

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// phase is a part of a sync. Its values are in the order in which they run.
type phase int

const (
	// phaseBase holds namespaces and CustomResourceDefinitions. Argo CD moves them before the first object that needs
	// them; before everything is the same, and simpler.
	phaseBase phase = iota
	phasePreSync
	phaseSync
	phasePostSync
)

// task is one object in one phase. A hook may have several phases, and so several tasks.
type task struct {
	obj   *unstructured.Unstructured
	phase phase
	wave  int
	hook  bool
}

// stage is what may run before the next thing has to be waited for: one wave of one phase.
type stage struct {
	phase phase
	wave  int
	tasks []task
}

// plan orders objects as Argo CD does: by phase, then wave; ranks divide a stage further. Hooks that a sync doesn't run
// (tests, roll-backs, deletions) and objects whose hook is Skip are left out.
func plan(objs []*unstructured.Unstructured) []stage {
	var tasks []task
	for _, obj := range objs {
		tasks = append(tasks, tasksOf(obj)...)
	}
	slices.SortStableFunc(tasks, func(a, b task) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.wave, b.wave))
	})
	var stages []stage
	for _, t := range tasks {
		last := len(stages) - 1
		if last < 0 || stages[last].phase != t.phase || stages[last].wave != t.wave {
			stages = append(stages, stage{phase: t.phase, wave: t.wave})
			last++
		}
		stages[last].tasks = append(stages[last].tasks, t)
	}
	return stages
}

func tasksOf(obj *unstructured.Unstructured) []task {
	if !isHook(obj) {
		switch {
		case skipped(obj):
			return nil
		case isNamespace(obj) || isCRD(obj):
			return []task{{obj: obj, phase: phaseBase}}
		}
		return []task{{obj: obj, phase: phaseSync, wave: waveOf(obj)}}
	}
	var tasks []task
	for _, p := range hookPhases(obj) {
		tasks = append(tasks, task{obj: obj, phase: p, wave: waveOf(obj), hook: true})
	}
	return tasks
}

// isHook says what Argo CD's hook.IsHook says: its own annotation wins over Helm's, and Helm's crd-install is no hook.
func isHook(obj *unstructured.Unstructured) bool {
	annotations := obj.GetAnnotations()
	if _, own := annotations[annotationHook]; own {
		return !skipped(obj)
	}
	helm, found := annotations[annotationHelmHook]
	return found && helm != "crd-install"
}

func skipped(obj *unstructured.Unstructured) bool {
	return strings.TrimSpace(obj.GetAnnotations()[annotationHook]) == "Skip"
}

// hookPhases are the phases in which a hook runs, in order, each once.
func hookPhases(obj *unstructured.Unstructured) []phase {
	var phases []phase
	for _, name := range hookTypes(obj) {
		switch name {
		case "PreSync", "pre-install", "pre-upgrade":
			phases = append(phases, phasePreSync)
		case "Sync":
			phases = append(phases, phaseSync)
		case "PostSync", "post-install", "post-upgrade":
			phases = append(phases, phasePostSync)
		}
	}
	slices.Sort(phases)
	return slices.Compact(phases)
}

func hookTypes(obj *unstructured.Unstructured) []string {
	annotations := obj.GetAnnotations()
	if own := commaList(annotations[annotationHook]); len(own) > 0 {
		return own
	}
	return commaList(annotations[annotationHelmHook])
}

// waveOf is Argo CD's wave: its own annotation, else Helm's hook weight, else 0.
func waveOf(obj *unstructured.Unstructured) int {
	annotations := obj.GetAnnotations()
	for _, key := range []string{annotationWave, annotationHelmHookWeight} {
		if wave, err := strconv.Atoi(annotations[key]); err == nil {
			return wave
		}
	}
	return 0
}

// The ranks of kinds within a wave: Argo CD's order of kinds, where neighbours that don't need one another share a rank and
// go side by side. PriorityClasses come before the workloads that name them, since a ReplicaSet whose pods were refused waits
// before it tries again. Webhook configurations come after the workloads that answer for them and before custom resources, so
// that those are stored as they will be on every later sync: defaulted and validated.
const (
	rankNamespace = iota
	rankDefinition
	rankSupport
	rankWorkload
	rankWebhook
	rankCustom
	ranks
)

func rankOf(group, kind string) int {
	switch {
	case group == "" && kind == "Namespace":
		return rankNamespace
	case kind == "CustomResourceDefinition":
		return rankDefinition
	case isWorkload(kind):
		return rankWorkload
	case group == "apiregistration.k8s.io" || group == "admissionregistration.k8s.io":
		return rankWebhook
	case builtIn(group):
		return rankSupport
	}
	return rankCustom
}

func isWorkload(kind string) bool {
	switch kind {
	case "DaemonSet", "Pod", "ReplicationController", "ReplicaSet", "Deployment", "HorizontalPodAutoscaler", "StatefulSet",
		"Job", "CronJob", "Ingress":
		return true
	}
	return false
}

// byRank divides tasks into groups that run one after another, the tasks of a group side by side.
func byRank(tasks []task) [][]task {
	var groups [ranks][]task
	for _, t := range tasks {
		gvk := t.obj.GroupVersionKind()
		rank := rankOf(gvk.Group, gvk.Kind)
		groups[rank] = append(groups[rank], t)
	}
	return slices.DeleteFunc(groups[:], func(group []task) bool { return len(group) == 0 })
}

func isNamespace(obj *unstructured.Unstructured) bool {
	gvk := obj.GroupVersionKind()
	return gvk.Group == "" && gvk.Kind == "Namespace"
}

func isCRD(obj *unstructured.Unstructured) bool {
	gvk := obj.GroupVersionKind()
	return gvk.Group == "apiextensions.k8s.io" && gvk.Kind == "CustomResourceDefinition"
}

// hasOption says whether an object's sync options contain one, such as "Prune=false".
func hasOption(annotations map[string]string, option string) bool {
	return slices.Contains(commaList(annotations[annotationOptions]), option)
}

func commaList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
