package lint

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// requests: what requests nothing is placed on nodes that are full, and is the first to be evicted there; the sums that say whether
// the platform fits are wrong.
func requests(w *world, report report) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		w.without(func(r corev1.ResourceRequirements) bool {
			_, asked := r.Requests[name]
			_, limited := r.Limits[name] // the API server takes a limit for the request that is missing
			return !asked && !limited
		}, func(o *object, container string) {
			report(o, fmt.Sprintf("the container %s requests no %s", container, name), "set resources.requests."+string(name)+" for it")
		})
	}
}

// memoryLimit: a leak in a container without a limit takes the whole node's memory, and the kernel then kills others.
func memoryLimit(w *world, report report) {
	w.without(func(r corev1.ResourceRequirements) bool {
		_, limited := r.Limits[corev1.ResourceMemory]
		return !limited
	}, func(o *object, container string) {
		report(o, fmt.Sprintf("the container %s has no memory limit", container), "set resources.limits.memory for it")
	})
}

func (w *world) without(lacks func(corev1.ResourceRequirements) bool, found func(o *object, container string)) {
	for _, p := range w.pods {
		if !p.ours() {
			continue
		}
		for _, c := range p.containers() {
			if lacks(c.Resources) {
				found(p.owner, c.Name)
			}
		}
	}
}

// readiness: without a readiness probe a pod gets traffic before it can answer, and a roll-out goes on over pods that never will.
// A scrape that comes too early does no harm, so ports for metrics don't count. A stand-in has no probes and isn't looked at.
func readiness(w *world, report report) {
	for _, p := range w.pods {
		if p.made || !p.ours() || !p.longRunning() || p.owner.simulated() {
			continue
		}
		served := w.served(p)
		for _, c := range p.staying() {
			if c.ReadinessProbe == nil && slices.ContainsFunc(c.Ports, served) {
				report(p.owner, "the container "+c.Name+" serves a port and has no readiness probe", "give it one; a chart mostly has readinessProbe")
			}
		}
	}
}

// served tells which ports of a pod a Service leads to.
func (w *world) served(p *pod) func(corev1.ContainerPort) bool {
	targets := map[string]bool{}
	for _, service := range w.in(p.namespace, "", "Service") {
		selector, _, _ := unstructured.NestedStringMap(service.Object.Object, "spec", "selector")
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(p.template.Labels)) {
			continue
		}
		for _, port := range service.list("spec", "ports") {
			if strings.Contains(nestedText(port, "name"), "metrics") {
				continue
			}
			target := port["targetPort"]
			if target == nil {
				target = port["port"]
			}
			targets[fmt.Sprint(target)] = true
		}
	}
	return func(port corev1.ContainerPort) bool {
		return !strings.Contains(port.Name, "metrics") && (targets[port.Name] || targets[fmt.Sprint(port.ContainerPort)])
	}
}
