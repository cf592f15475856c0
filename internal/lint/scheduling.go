package lint

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/idp-blueprint/idp/internal/platform"
)

// priorityClass: on a full node the scheduler makes room by priority. A pod without a class gives way to workloads, and one whose
// class nobody makes is refused.
func priorityClass(w *world, report report) {
	for _, p := range w.pods {
		if !p.ours() {
			continue
		}
		switch class := p.template.Spec.PriorityClassName; {
		case class == "":
			report(p.owner, "its pods name no PriorityClass", "set priorityClassName to one of "+strings.Join(w.names("", "scheduling.k8s.io", "PriorityClass"), ", "))
		case strings.HasPrefix(class, "system-"): // the API server's own
		case w.find("scheduling.k8s.io", "PriorityClass", "", class) == nil:
			report(p.owner, "nothing makes the PriorityClass "+class, "name one of the platform's"+near(class, w.names("", "scheduling.k8s.io", "PriorityClass")))
		}
	}
}

// node is what pods see of the nodes of a pool.
type node struct {
	labels map[string][]string // with the values that nodes of the pool have
	taints []platform.Taint
}

func nodesOf(cluster platform.Cluster) []node {
	var list []node
	for _, pool := range cluster.Pools {
		n := node{taints: pool.Taints, labels: map[string][]string{
			platform.PoolLabel:      {pool.Name},
			corev1.LabelOSStable:    {"linux"},
			corev1.LabelArchStable:  {"amd64", "arm64"},
			corev1.LabelHostname:    nil,
			"beta.kubernetes.io/os": {"linux"},
		}}
		for i := range pool.Count {
			n.labels[corev1.LabelHostname] = append(n.labels[corev1.LabelHostname], fmt.Sprintf("%s-%d", pool.Name, i))
		}
		for key, value := range pool.Labels {
			n.labels[key] = []string{value}
		}
		list = append(list, n)
	}
	return list
}

// tolerations: a toleration of a taint that no node has does nothing; most often its key is misspelt, and the pod stays away from the
// very node it was to survive on.
func tolerations(w *world, report report) {
	for _, p := range w.pods {
		if !p.ours() {
			continue
		}
		for _, t := range p.template.Spec.Tolerations {
			// Kubernetes' own taints come and go with the state of a node; no key is all taints.
			if t.Key == "" || strings.HasPrefix(t.Key, "node.kubernetes.io/") || strings.HasPrefix(t.Key, "node.cloudprovider.kubernetes.io/") || w.tainted(t) {
				continue
			}
			report(p.owner, "it tolerates "+describeToleration(t)+", which no node has", "remove it, or give a pool in platform.yaml the taint"+near(t.Key, w.taintKeys()))
		}
	}
}

func describeToleration(t corev1.Toleration) string {
	text := t.Key
	if t.Value != "" {
		text += "=" + t.Value
	}
	if t.Effect != "" {
		text += ":" + string(t.Effect)
	}
	return text
}

func (w *world) tainted(t corev1.Toleration) bool {
	for _, n := range w.nodes {
		for _, taint := range n.taints {
			if taint.Key == t.Key && (t.Effect == "" || string(t.Effect) == taint.Effect) && (t.Operator == corev1.TolerationOpExists || t.Value == taint.Value) {
				return true
			}
		}
	}
	return false
}

func (w *world) taintKeys() []string {
	var keys []string
	for _, n := range w.nodes {
		for _, taint := range n.taints {
			keys = append(keys, taint.Key)
		}
	}
	return keys
}

// nodeLabels: a pod that asks for a label no node has stays Pending; where it only prefers it, the preference does nothing.
func nodeLabels(w *world, report report) {
	for _, p := range w.pods {
		if !p.ours() {
			continue
		}
		spec := p.template.Spec
		for key, value := range spec.NodeSelector {
			w.wantLabel(p, report, key, []string{value})
		}
		for _, r := range requirements(spec.Affinity) {
			switch r.Operator {
			case corev1.NodeSelectorOpIn:
				w.wantLabel(p, report, r.Key, r.Values)
			case corev1.NodeSelectorOpExists:
				w.wantLabel(p, report, r.Key, nil)
			}
		}
		for _, spread := range spec.TopologySpreadConstraints {
			if spread.WhenUnsatisfiable == corev1.DoNotSchedule {
				w.wantLabel(p, report, spread.TopologyKey, nil)
			}
		}
	}
}

// wantLabel reports a label that no node has, or none with one of the values.
func (w *world) wantLabel(p *pod, report report, key string, values []string) {
	var known, have []string
	for _, n := range w.nodes {
		for label, its := range n.labels {
			known = append(known, label)
			if label == key {
				have = append(have, its...)
			}
		}
	}
	slices.Sort(known)
	slices.Sort(have)
	if have == nil {
		report(p.owner, "no node has the label "+key+", which its placement asks for", "name a label of the pools in platform.yaml"+near(key, known))
		return
	}
	if values != nil && !slices.ContainsFunc(values, func(v string) bool { return slices.Contains(have, v) }) {
		report(p.owner, fmt.Sprintf("no node has the label %s with the value %s", key, strings.Join(values, " or ")), "the nodes of platform.yaml have "+strings.Join(slices.Compact(have), ", "))
	}
}

func requirements(affinity *corev1.Affinity) []corev1.NodeSelectorRequirement {
	if affinity == nil || affinity.NodeAffinity == nil {
		return nil
	}
	var list []corev1.NodeSelectorRequirement
	if required := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
		for _, term := range required.NodeSelectorTerms {
			list = append(list, term.MatchExpressions...)
		}
	}
	for _, preferred := range affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		list = append(list, preferred.Preference.MatchExpressions...)
	}
	return list
}
