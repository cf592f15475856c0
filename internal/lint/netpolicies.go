package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const fixSelector = "give it the labels that the pods have: idp render shows them"

// policyIdle: a policy that fits no pod opens nothing; under a default deny, the pods that it is meant for can't talk.
func policyIdle(w *world, report report) {
	for _, o := range w.objects {
		selector, ok := policySelector(o)
		if !ok || len(selector) == 0 { // {} is every pod, those to come too
			continue
		}
		if len(w.podsIn(o.namespace, selectorOf(selector))) == 0 {
			report(o, fmt.Sprintf("no pod in %s has the labels %s", o.namespace, selectorOf(selector)), fixSelector)
		}
	}
}

// policySelector are the pods of a policy; false for other kinds.
func policySelector(o *object) (map[string]any, bool) {
	switch {
	case o.is("networking.k8s.io", "NetworkPolicy"):
		return nestedMap(o.Object.Object, "spec", "podSelector"), true
	case o.is("cilium.io", "CiliumNetworkPolicy"):
		return plainLabels(nestedMap(o.Object.Object, "spec", "endpointSelector")), true
	}
	return nil, false
}

// policyPeer: a peer that doesn't exist is a misspelt one: the traffic that was meant is dropped without a word.
func policyPeer(w *world, report report) {
	for _, o := range w.objects {
		for _, p := range peersOf(o) {
			if problem := w.problem(p); problem != "" {
				report(o, problem, fixSelector)
			}
		}
	}
}

// peer is who a policy lets in or out to.
type peer struct {
	home       string         // the policy's namespace
	namespaces map[string]any // selector; nil: home only
	pods       map[string]any // selector; nil: all
}

func peersOf(o *object) []peer {
	var peers []peer
	if o.is("networking.k8s.io", "NetworkPolicy") {
		for _, rule := range slices.Concat(o.list("spec", "ingress"), o.list("spec", "egress")) {
			for _, p := range slices.Concat(nestedList(rule, "from"), nestedList(rule, "to")) {
				if p["ipBlock"] == nil {
					peers = append(peers, peer{o.namespace, nestedMap(p, "namespaceSelector"), nestedMap(p, "podSelector")})
				}
			}
		}
	}
	if o.is("cilium.io", "CiliumNetworkPolicy") {
		for _, rule := range slices.Concat(o.list("spec", "ingress"), o.list("spec", "egress")) {
			for _, p := range slices.Concat(nestedList(rule, "fromEndpoints"), nestedList(rule, "toEndpoints")) {
				peers = append(peers, ciliumPeer(o.namespace, plainLabels(p)))
			}
		}
	}
	return peers
}

// Cilium has the namespace among the labels of a pod.
const ciliumNamespace = "io.kubernetes.pod.namespace"

func ciliumPeer(home string, selector map[string]any) peer {
	p := peer{home: home, pods: selector}
	if namespace := nestedMap(selector, "matchLabels")[ciliumNamespace]; namespace != nil {
		p.namespaces = map[string]any{"matchLabels": map[string]any{corev1.LabelMetadataName: namespace}}
		delete(nestedMap(selector, "matchLabels"), ciliumNamespace)
	}
	return p
}

// plainLabels is a selector of Cilium's without its label sources (k8s:app is the label app). What it can't say in labels, such as
// reserved entities, is left out.
func plainLabels(selector map[string]any) map[string]any {
	plain := map[string]any{}
	if match := nestedMap(selector, "matchLabels"); len(match) > 0 {
		its := map[string]any{}
		for key, value := range match {
			if !strings.HasPrefix(key, "reserved:") {
				its[withoutSource(key)] = value
			}
		}
		plain["matchLabels"] = its
	}
	var expressions []any
	for _, e := range nestedList(selector, "matchExpressions") {
		e = maps.Clone(e)
		key, _ := e["key"].(string)
		e["key"] = withoutSource(key)
		expressions = append(expressions, e)
	}
	if expressions != nil {
		plain["matchExpressions"] = expressions
	}
	return plain
}

func withoutSource(key string) string {
	return strings.TrimPrefix(strings.TrimPrefix(key, "k8s:"), "any:")
}

// problem says who of a peer doesn't exist, "" where somebody does.
func (w *world) problem(p peer) string {
	spaces := []string{p.home}
	if p.namespaces != nil {
		spaces = w.namespacesLike(selectorOf(p.namespaces))
		if name := nestedText(p.namespaces, "matchLabels", corev1.LabelMetadataName); len(spaces) == 0 && w.switchedOff(name) {
			return ""
		}
		if len(spaces) == 0 {
			return fmt.Sprintf("it names namespaces with the labels %s as a peer, and there are none", selectorOf(p.namespaces))
		}
	}
	if len(p.pods) == 0 {
		return ""
	}
	pods := selectorOf(p.pods)
	for _, space := range spaces {
		if len(w.podsIn(space, pods)) > 0 {
			return ""
		}
	}
	return fmt.Sprintf("it names pods with the labels %s in %s as a peer, and there are none", pods, strings.Join(spaces, ", "))
}

func (w *world) namespacesLike(selector labels.Selector) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(w.namespaces)) {
		if selector.Matches(w.namespaces[name]) {
			names = append(names, name)
		}
	}
	return names
}

// switchedOff is true for the namespace of a stack that is off: what is said of it counts when the stack is on.
func (w *world) switchedOff(namespace string) bool {
	for _, s := range w.platform.Stacks {
		if !s.Enabled && s.Namespace == namespace {
			return true
		}
	}
	return false
}
