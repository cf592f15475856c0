package lint

import (
	"slices"

	"k8s.io/pod-security-admission/api"
)

// namespaceMissing: a namespace that nothing makes must be made by hand before the sync works, and what makes it in passing gives it
// no limits.
func namespaceMissing(w *world, report report) {
	for _, p := range w.pods {
		if _, made := w.namespaces[p.namespace]; p.ours() && !made {
			report(p.owner, "nothing makes the namespace "+p.namespace, w.listNamespace())
		}
	}
}

// namespaceObjects are the Namespaces that the platform makes.
func (w *world) namespaceObjects() []*object {
	var list []*object
	for _, o := range w.objects {
		if o.is("", "Namespace") && o.GetName() != "kube-system" {
			list = append(list, o)
		}
	}
	return list
}

// listNamespace is what to do for a namespace: most of a platform's come from one component.
func (w *world) listNamespace() string {
	count, home := map[string]int{}, "a layer"
	for _, o := range w.namespaceObjects() {
		by := o.component.Path
		count[by]++
		if count[by] > count[home] {
			home = by
		}
	}
	return "list the namespace in " + home
}

// namespacePodSecurity: a namespace without a level takes any pod, privileged ones too.
func namespacePodSecurity(w *world, report report) {
	for _, o := range w.namespaceObjects() {
		switch level := o.GetLabels()[api.EnforceLevelLabel]; {
		case level == "":
			report(o, "it has no label "+api.EnforceLevelLabel, w.listNamespace()+" with podSecurity")
		case !slices.Contains([]string{"privileged", "baseline", "restricted"}, level):
			report(o, "Pod Security has no level "+level, "use privileged, baseline or restricted"+near(level, []string{"privileged", "baseline", "restricted"}))
		}
	}
}

// namespaceQuota: without a quota one namespace can take the whole cluster.
func namespaceQuota(w *world, report report) {
	w.wantIn(report, "", "ResourceQuota", w.listNamespace()+" with quota")
}

// namespaceLimits: without defaults a container that says nothing runs without limits, or is refused by the quota.
func namespaceLimits(w *world, report report) {
	w.wantIn(report, "", "LimitRange", w.listNamespace())
}

func (w *world) wantIn(report report, group, kind, fix string) {
	for _, o := range w.namespaceObjects() {
		if len(w.in(o.GetName(), group, kind)) == 0 {
			report(o, "it has no "+kind, fix)
		}
	}
}

// namespaceDefaultDeny: where nothing is denied, whatever gets into one pod can talk to every other.
func namespaceDefaultDeny(w *world, report report) {
	for _, o := range w.namespaceObjects() {
		if !slices.ContainsFunc(w.in(o.GetName(), "networking.k8s.io", "NetworkPolicy"), deniesAll) {
			report(o, "it has no NetworkPolicy that denies all traffic, in and out, of all pods", w.listNamespace())
		}
	}
}

func deniesAll(o *object) bool {
	types := nestedTexts(o.Object.Object, "spec", "policyTypes")
	selector := nestedMap(o.Object.Object, "spec", "podSelector")
	return selector != nil && len(selector) == 0 && slices.Contains(types, "Ingress") && slices.Contains(types, "Egress") &&
		len(o.list("spec", "ingress")) == 0 && len(o.list("spec", "egress")) == 0
}
