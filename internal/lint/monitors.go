package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	corev1 "k8s.io/api/core/v1"
)

const monitoringGroup = "monitoring.coreos.com"

// monitors: a monitor that finds nothing to scrape makes no error and no metric: alerts over them can't fire. What an operator's
// arguments make it create isn't in an inventory, so a stand-in's monitors aren't looked at.
func monitors(w *world, report report) {
	for _, o := range w.objects {
		switch {
		case o.simulated():
		case o.is(monitoringGroup, "ServiceMonitor"):
			w.serviceMonitor(o, report)
		case o.is(monitoringGroup, "PodMonitor"):
			w.podMonitor(o, report)
		}
	}
}

func (w *world) monitored(o *object) []string {
	chosen := nestedMap(o.Object.Object, "spec", "namespaceSelector")
	if chosen["any"] == true {
		return slices.Sorted(maps.Keys(w.namespaces))
	}
	if names := nestedTexts(chosen, "matchNames"); len(names) > 0 {
		return names
	}
	return []string{o.namespace}
}

func (w *world) serviceMonitor(o *object, report report) {
	selector := selectorAt(o.Object.Object, "spec", "selector")
	spaces := w.monitored(o)
	var ports, found []string
	for _, space := range spaces {
		for _, service := range w.in(space, "", "Service") {
			if !selector.Matches(setOf(service)) {
				continue
			}
			found = append(found, space+"/"+service.GetName())
			for _, port := range service.list("spec", "ports") {
				ports = append(ports, nestedText(port, "name"))
			}
		}
	}
	if len(found) == 0 {
		report(o, fmt.Sprintf("it selects no Service: none in %s has the labels %s", strings.Join(spaces, ", "), selector), "give it the labels of the Service that it is for, or remove it")
		return
	}
	for _, endpoint := range o.list("spec", "endpoints") {
		if port := nestedText(endpoint, "port"); port != "" && !slices.Contains(ports, port) {
			report(o, fmt.Sprintf("it scrapes the port %s, which %s doesn't have", port, strings.Join(found, ", ")), "its ports are "+strings.Join(ports, ", "))
		}
	}
}

func (w *world) podMonitor(o *object, report report) {
	selector := selectorAt(o.Object.Object, "spec", "selector")
	spaces := w.monitored(o)
	var ports []string
	found := 0
	for _, space := range spaces {
		for _, p := range w.podsIn(space, selector) {
			if p.owner.broken != nil {
				return // its ports aren't known
			}
			found++
			for _, c := range p.containers() {
				ports = append(ports, portNames(c)...)
			}
		}
	}
	if found == 0 {
		report(o, fmt.Sprintf("it selects no pod: none in %s has the labels %s", strings.Join(spaces, ", "), selector), "give it the labels of the pods that it is for, or remove it")
		return
	}
	for _, endpoint := range o.list("spec", "podMetricsEndpoints") {
		if port := nestedText(endpoint, "port"); port != "" && !slices.Contains(ports, port) {
			report(o, fmt.Sprintf("it scrapes the port %s, which the pods don't have", port), "their ports are "+strings.Join(ports, ", "))
		}
	}
}

func portNames(c corev1.Container) []string {
	var names []string
	for _, port := range c.Ports {
		names = append(names, port.Name)
	}
	return names
}

// promRules: Prometheus keeps its old rules, all of them, when one new expression doesn't parse; with the operator's webhook simulated
// or absent nothing else says so.
func promRules(w *world, report report) {
	p := parser.NewParser(parser.Options{})
	for _, o := range w.objects {
		if !o.is(monitoringGroup, "PrometheusRule") {
			continue
		}
		for _, group := range o.list("spec", "groups") {
			for _, rule := range nestedList(group, "rules") {
				name := fmt.Sprintf("%s/%s", nestedText(group, "name"), textOr(nestedText(rule, "alert"), nestedText(rule, "record")))
				if _, err := p.ParseExpr(fmt.Sprint(rule["expr"])); err != nil {
					report(o, fmt.Sprintf("the expression of %s doesn't parse: %v", name, err), "correct the expression")
				}
				for _, field := range []string{"for", "keep_firing_for"} {
					if value := nestedText(rule, field); value != "" {
						if _, err := model.ParseDuration(value); err != nil {
							report(o, fmt.Sprintf("%s of %s is no duration: %v", field, name, err), "write it as 5m")
						}
					}
				}
			}
		}
	}
}
