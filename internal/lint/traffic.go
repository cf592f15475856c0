package lint

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// party is who sends: a pod, or what has no pods and a name of Cilium's.
type party struct {
	pod    *pod
	entity string
}

func (p party) String() string {
	if p.pod == nil {
		return p.entity
	}
	return p.pod.kind + " " + p.pod.namespace + "/" + p.pod.owner.GetName()
}

// entities of Cilium's that have no pods.
const (
	entityAPIServer = "kube-apiserver"
	entityGateway   = "ingress"
)

// door is a port of a pod.
type door struct {
	name     string // as the container calls it, if at all
	number   string // "" where only the name is known
	protocol string
}

// lets is true where the policies of a pod's namespace let the party in (direction "ingress"), or the pod out to it ("egress"). Where no
// policy is about the pod and direction, everything passes.
func (w *world) lets(of *pod, direction string, other party, at door) bool {
	if of.template.Spec.HostNetwork {
		return true // it is the node that sends and is sent to
	}
	isolated := false
	for _, o := range w.policies[of.namespace] {
		selector, _ := policySelector(o)
		if !selectorOf(selector).Matches(labels.Set(of.template.Labels)) || !directed(o, direction) {
			continue
		}
		isolated = true
		for _, rule := range o.list("spec", direction) {
			if admits(o, rule, direction, at) && w.among(o, rule, direction, other) {
				return true
			}
		}
	}
	return !isolated
}

// directed is true for a policy that is about a direction, if only to deny it.
func directed(o *object, direction string) bool {
	if o.is("cilium.io", "CiliumNetworkPolicy") {
		return nestedMap(o.Object.Object, "spec")[direction] != nil
	}
	types := nestedTexts(o.Object.Object, "spec", "policyTypes")
	if len(types) == 0 {
		return direction == "ingress" || nestedMap(o.Object.Object, "spec")["egress"] != nil
	}
	return slices.ContainsFunc(types, func(t string) bool { return strings.EqualFold(t, direction) })
}

// admits compares the port.
func admits(o *object, rule map[string]any, direction string, at door) bool {
	ports, named := nestedList(rule, "ports"), "port"
	if o.is("cilium.io", "CiliumNetworkPolicy") {
		ports = nil
		for _, to := range nestedList(rule, "toPorts") {
			ports = append(ports, nestedList(to, "ports")...)
		}
	}
	if len(ports) == 0 {
		return true
	}
	return slices.ContainsFunc(ports, func(p map[string]any) bool {
		protocol := textOr(nestedText(p, "protocol"), "TCP")
		if protocol != at.protocol && protocol != "ANY" {
			return false
		}
		port := fmt.Sprint(p[named])
		return p[named] == nil || port == at.number && port != "" || port == at.name && port != "" || within(p, at.number)
	})
}

// within is for a range of ports.
func within(p map[string]any, number string) bool {
	first, isNumber := p["port"].(int64)
	last, isRange := p["endPort"].(int64)
	var n int64
	if _, err := fmt.Sscan(number, &n); err != nil {
		return false
	}
	return isNumber && isRange && first <= n && n <= last
}

// among is true where the other party is one of those that a rule names.
func (w *world) among(o *object, rule map[string]any, direction string, other party) bool {
	from := map[string]string{"ingress": "from", "egress": "to"}[direction]
	if o.is("cilium.io", "CiliumNetworkPolicy") {
		return w.amongCilium(o, rule, from, other)
	}
	peers := nestedList(rule, from)
	if len(peers) == 0 {
		return true // anybody
	}
	return other.pod != nil && slices.ContainsFunc(peers, func(p map[string]any) bool {
		return p["ipBlock"] == nil && w.isPeer(peer{o.namespace, nestedMap(p, "namespaceSelector"), nestedMap(p, "podSelector")}, other.pod)
	})
}

func (w *world) amongCilium(o *object, rule map[string]any, from string, other party) bool {
	named := false
	for key := range rule {
		named = named || strings.HasPrefix(key, from) && key != "toPorts"
	}
	if !named {
		return true
	}
	entities := nestedTexts(rule, from+"Entities")
	if slices.Contains(entities, "all") || other.pod != nil && slices.Contains(entities, "cluster") || other.entity != "" && slices.Contains(entities, other.entity) {
		return true
	}
	return other.pod != nil && slices.ContainsFunc(nestedList(rule, from+"Endpoints"), func(p map[string]any) bool {
		return w.isPeer(ciliumPeer(o.namespace, plainLabels(p)), other.pod)
	})
}

func (w *world) isPeer(p peer, other *pod) bool {
	if p.namespaces == nil && other.namespace != p.home || p.namespaces != nil && !selectorOf(p.namespaces).Matches(w.namespaces[other.namespace]) {
		return false
	}
	return len(p.pods) == 0 || selectorOf(p.pods).Matches(labels.Set(other.template.Labels))
}

// doorsOf are the ports of a Service in its pods: the container's port that each leads to.
func doorOf(p *pod, port map[string]any) door {
	target := port["targetPort"]
	if target == nil {
		target = port["port"]
	}
	return p.door(fmt.Sprint(target), textOr(nestedText(port, "protocol"), "TCP"))
}

// door is a port that is named or numbered.
func (p *pod) door(nameOrNumber, protocol string) door {
	for _, c := range p.containers() {
		for _, port := range c.Ports {
			number := fmt.Sprint(port.ContainerPort)
			if nameOrNumber == port.Name || nameOrNumber == number {
				return door{port.Name, number, textOr(string(port.Protocol), string(corev1.ProtocolTCP))}
			}
		}
	}
	if strings.Trim(nameOrNumber, "0123456789") == "" {
		return door{"", nameOrNumber, protocol}
	}
	return door{nameOrNumber, "", protocol}
}

func (d door) String() string { return textOr(d.number, d.name) }
