package lint

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// spreadMissing: replicas that the scheduler may put on one node are lost with it, all at once. What an operator makes has the operator's
// own ways, which aren't known here.
func spreadMissing(w *world, report report) {
	for _, p := range w.pods {
		if p.made || !p.ours() || p.kind == "DaemonSet" || !p.longRunning() || p.replicas < 2 || p.spreads() {
			continue
		}
		report(p.owner, fmt.Sprintf("nothing keeps its %d replicas on different nodes", p.replicas),
			"give it topologySpreadConstraints or a podAntiAffinity over kubernetes.io/hostname, of its own labels")
	}
}

// spreads is true for pods that are kept apart, by force or where it can be.
func (p *pod) spreads() bool {
	if p.template.Spec.HostNetwork && slices.ContainsFunc(p.containers(), func(c corev1.Container) bool { return slices.ContainsFunc(c.Ports, hostPort) }) {
		return true // two can't have the same port of a node
	}
	for _, s := range p.template.Spec.TopologySpreadConstraints {
		if s.TopologyKey == corev1.LabelHostname && p.hasLabelsOf(s.LabelSelector) {
			return true
		}
	}
	affinity := p.template.Spec.Affinity
	if affinity == nil || affinity.PodAntiAffinity == nil {
		return false
	}
	terms := slices.Clone(affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	for _, preferred := range affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		terms = append(terms, preferred.PodAffinityTerm)
	}
	return slices.ContainsFunc(terms, p.keepsOff)
}

func hostPort(port corev1.ContainerPort) bool { return port.HostPort != 0 }

// keepsOff is true for a term that keeps a node to one of these pods.
func (p *pod) keepsOff(term corev1.PodAffinityTerm) bool {
	return term.TopologyKey == corev1.LabelHostname && p.hasLabelsOf(term.LabelSelector)
}

func (p *pod) hasLabelsOf(s *metav1.LabelSelector) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(p.template.Labels))
}

// spreadBlocks: pods that must be apart need a node each, and one more while a Deployment adds the new pod before it takes the old one
// away. With fewer, a roll-out never ends, or never begins.
func spreadBlocks(w *world, report report) {
	for _, p := range w.pods {
		if p.made || !p.ours() || p.kind == "DaemonSet" || !p.longRunning() || p.replicas < 1 {
			continue
		}
		places, why := w.places(p)
		if why == "" {
			continue
		}
		switch need := p.replicas; {
		case need > places:
			report(p.owner, fmt.Sprintf("its %d replicas may not share a node (%s), and %d of the nodes take them", need, why, places),
				"let it have fewer replicas, tolerate the taints of more nodes, or only prefer different ones")
		case p.surges() && need+1 > places:
			report(p.owner, fmt.Sprintf("a roll-out adds a pod before it takes one away, and all %d nodes that take its pods have one that it may not share a node with (%s)", places, why),
				"set maxSurge: 0 and maxUnavailable: 1, or matchLabelKeys: [pod-template-hash] and nodeTaintsPolicy: Honor of its spread")
		}
	}
}

// places are how many of these pods there may be at once, and why there can't be any number: "" where there can.
func (w *world) places(p *pod) (count int64, why string) {
	fit := int64(0)
	for i, n := range w.nodes {
		if n.takes(p) {
			fit += int64(w.platform.Config.Cluster.Pools[i].Count)
		}
	}
	if a := p.template.Spec.Affinity; a != nil && a.PodAntiAffinity != nil && slices.ContainsFunc(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, p.keepsOffAlways) {
		return fit, "podAntiAffinity"
	}
	for _, s := range p.template.Spec.TopologySpreadConstraints {
		honors := s.NodeTaintsPolicy != nil && *s.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
		// Nodes that can't take the pods stay empty, and no other may have more than maxSkew above them.
		if s.WhenUnsatisfiable == corev1.DoNotSchedule && s.TopologyKey == corev1.LabelHostname && p.hasLabelsOf(s.LabelSelector) &&
			!honors && w.avoided(p) && !slices.Contains(s.MatchLabelKeys, appsv1.DefaultDeploymentUniqueLabelKey) {
			return fit * int64(s.MaxSkew), "topologySpreadConstraints"
		}
	}
	return 0, ""
}

// keepsOffAlways leaves out a term that is about pods of the same revision only.
func (p *pod) keepsOffAlways(term corev1.PodAffinityTerm) bool {
	return p.keepsOff(term) && !slices.Contains(term.MatchLabelKeys, appsv1.DefaultDeploymentUniqueLabelKey)
}

// surges is true for a Deployment whose roll-out adds before it takes away.
func (p *pod) surges() bool {
	if p.kind != "Deployment" {
		return false
	}
	var strategy appsv1.DeploymentStrategy
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(nestedMap(p.owner.Object.Object, "spec", "strategy"), &strategy); err != nil || strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return false
	}
	unavailable := intstr.FromString("25%")
	if r := strategy.RollingUpdate; r != nil && r.MaxUnavailable != nil {
		unavailable = *r.MaxUnavailable
	}
	fewer, err := intstr.GetScaledValueFromIntOrPercent(&unavailable, int(p.replicas), false)
	return err == nil && fewer == 0
}

// takes is true for a node whose taints the pod tolerates and whose labels it asks for.
func (n node) takes(p *pod) bool {
	return !slices.ContainsFunc(n.keeping(), func(t corev1.Taint) bool { return !tolerated(p, t) }) && n.wanted(p)
}

// keeping are the taints that keep pods away.
func (n node) keeping() []corev1.Taint {
	var list []corev1.Taint
	for _, t := range n.taints {
		if t.Effect != string(corev1.TaintEffectPreferNoSchedule) {
			list = append(list, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
		}
	}
	return list
}

func tolerated(p *pod, taint corev1.Taint) bool {
	return slices.ContainsFunc(p.template.Spec.Tolerations, func(t corev1.Toleration) bool {
		return (t.Key == "" || t.Key == taint.Key) && (t.Effect == "" || t.Effect == taint.Effect) &&
			(t.Operator == corev1.TolerationOpExists || t.Key != "" && t.Value == taint.Value)
	})
}

// wanted is true for a node that has the labels which the pod insists on. Other operators than In aren't looked at.
func (n node) wanted(p *pod) bool {
	has := func(key string, values []string) bool {
		return slices.ContainsFunc(n.labels[key], func(v string) bool { return slices.Contains(values, v) })
	}
	for key, value := range p.template.Spec.NodeSelector {
		if !has(key, []string{value}) {
			return false
		}
	}
	a := p.template.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	return slices.ContainsFunc(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, func(term corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(term.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			return r.Operator == corev1.NodeSelectorOpIn && !has(r.Key, r.Values)
		})
	})
}

// avoided is true for pods that some node doesn't take for its taints.
func (w *world) avoided(p *pod) bool {
	return slices.ContainsFunc(w.nodes, func(n node) bool {
		return slices.ContainsFunc(n.keeping(), func(t corev1.Taint) bool { return !tolerated(p, t) })
	})
}

func (w *world) nodeCount() int {
	count := 0
	for _, pool := range w.platform.Config.Cluster.Pools {
		count += pool.Count
	}
	return count
}
