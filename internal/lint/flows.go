package lint

import (
	"fmt"
	"slices"
	"strings"
)

const fixFlow = "add it to the flows of the component: idp render shows the policies"

// flowHalf: a connection passes two policies, the client's way out and the server's way in. With one of them alone it is dropped.
func flowHalf(w *world, report report) {
	for _, o := range w.objects {
		if !o.is("networking.k8s.io", "NetworkPolicy") {
			continue
		}
		own := w.podsIn(o.namespace, selectorAt(o.Object.Object, "spec", "podSelector"))
		for _, direction := range []string{"ingress", "egress"} {
			for _, rule := range o.list("spec", direction) {
				w.halves(o, rule, direction, own, report)
			}
		}
	}
}

// halves looks at both sides of a rule. One without ports is about all that there may be, which isn't known here.
func (w *world) halves(o *object, rule map[string]any, direction string, own []*pod, report report) {
	for _, port := range nestedList(rule, "ports") {
		for _, peer := range nestedList(rule, map[string]string{"ingress": "from", "egress": "to"}[direction]) {
			if len(nestedMap(peer, "podSelector")) == 0 {
				continue // whoever it may be
			}
			for _, other := range w.peers(o, peer) {
				for _, p := range own {
					server, client := p, other
					if direction == "egress" {
						server, client = other, p
					}
					at := server.door(fmt.Sprint(port["port"]), textOr(nestedText(port, "protocol"), "TCP"))
					if direction == "ingress" && !w.lets(client, "egress", party{pod: server}, at) {
						report(o, fmt.Sprintf("it lets %s in to port %s of %s, which no policy lets out", party{pod: client}, at, party{pod: server}), fixFlow+"; the client lists the way out")
					}
					if direction == "egress" && !w.lets(server, "ingress", party{pod: client}, at) {
						report(o, fmt.Sprintf("it lets %s out to port %s of %s, which no policy lets in", party{pod: client}, at, party{pod: server}), fixFlow+"; the server lists the way in")
					}
				}
			}
		}
	}
}

// peers are the pods that a peer of a NetworkPolicy names.
func (w *world) peers(o *object, p map[string]any) []*pod {
	if p["ipBlock"] != nil {
		return nil
	}
	var list []*pod
	for _, other := range w.pods {
		if w.isPeer(peer{o.namespace, nestedMap(p, "namespaceSelector"), nestedMap(p, "podSelector")}, other) {
			list = append(list, other)
		}
	}
	return list
}

// monitorBlocked: Prometheus' scrape of a port that no policy lets it in to times out. The target is down, and nothing says why.
func monitorBlocked(w *world, report report) {
	scrapers := slices.DeleteFunc(slices.Clone(w.pods), func(p *pod) bool { return !p.owner.is(monitoringGroup, "Prometheus", "PrometheusAgent") })
	for _, o := range w.objects {
		for _, t := range w.targets(o) {
			for _, s := range scrapers {
				if !w.lets(t.pod, "ingress", party{pod: s}, t.door) {
					report(o, fmt.Sprintf("no policy lets %s in to port %s of %s, which it scrapes", party{pod: s}, t.door, party{pod: t.pod}), fixFlow)
				} else if !w.lets(s, "egress", party{pod: t.pod}, t.door) {
					report(o, fmt.Sprintf("no policy lets %s out to port %s of %s, which it scrapes", party{pod: s}, t.door, party{pod: t.pod}), fixFlow)
				}
			}
		}
	}
}

// target is a port of a pod that somebody wants to reach.
type target struct {
	pod  *pod
	door door
}

// targets are what a monitor scrapes; none for other objects, and for what isn't known.
func (w *world) targets(o *object) []target {
	switch {
	case o.simulated():
		return nil
	case o.is(monitoringGroup, "ServiceMonitor"):
		return w.serviceTargets(o)
	case o.is(monitoringGroup, "PodMonitor"):
		return w.podTargets(o)
	}
	return nil
}

func (w *world) serviceTargets(o *object) []target {
	var list []target
	selector := selectorAt(o.Object.Object, "spec", "selector")
	for _, space := range w.monitored(o) {
		for _, service := range w.in(space, "", "Service") {
			if !selector.Matches(setOf(service)) {
				continue
			}
			for _, endpoint := range o.list("spec", "endpoints") {
				for _, port := range service.list("spec", "ports") {
					if nestedText(port, "name") == nestedText(endpoint, "port") {
						list = append(list, w.behind(service, port)...)
					}
				}
			}
		}
	}
	return list
}

func (w *world) podTargets(o *object) []target {
	var list []target
	selector := selectorAt(o.Object.Object, "spec", "selector")
	for _, space := range w.monitored(o) {
		for _, p := range w.podsIn(space, selector) {
			for _, endpoint := range o.list("spec", "podMetricsEndpoints") {
				if port := nestedText(endpoint, "port"); port != "" && p.owner.broken == nil {
					list = append(list, target{p, p.door(port, "TCP")})
				}
			}
		}
	}
	return list
}

// behind are the pods of a Service, at one of its ports.
func (w *world) behind(service *object, port map[string]any) []target {
	selector := nestedMap(service.Object.Object, "spec", "selector")
	if len(selector) == 0 {
		return nil
	}
	var list []target
	for _, p := range w.podsIn(service.namespace, selectorOf(map[string]any{"matchLabels": selector})) {
		if p.owner.broken == nil && p.longRunning() {
			list = append(list, target{p, doorOf(p, port)})
		}
	}
	return list
}

// routeBlocked: what the gateway may not reach answers 503, or after a time-out 504, to everybody.
func routeBlocked(w *world, report report) {
	for _, o := range w.routes() {
		if !w.ciliumGateway(o) {
			continue // where another's proxy runs isn't known
		}
		for _, rule := range o.list("spec", "rules") {
			for _, backend := range nestedList(rule, "backendRefs") {
				service := w.find("", "Service", textOr(nestedText(backend, "namespace"), o.namespace), nestedText(backend, "name"))
				w.closedTo(service, fmt.Sprint(backend["port"]), entityGateway, func(t target) {
					report(o, fmt.Sprintf("no policy lets the gateway in to port %s of %s", t.door, party{pod: t.pod}), fixFlow+", as entity: gateway")
				})
			}
		}
	}
}

// closedTo visits the pods of a Service's port that don't let an entity in.
func (w *world) closedTo(service *object, number, entity string, blocked func(target)) {
	if service == nil {
		return // another rule says so
	}
	for _, port := range service.list("spec", "ports") {
		if fmt.Sprint(port["port"]) != number {
			continue
		}
		for _, t := range w.behind(service, port) {
			if !w.lets(t.pod, "ingress", party{entity: entity}, t.door) {
				blocked(t)
			}
		}
	}
}

func (w *world) ciliumGateway(route *object) bool {
	for _, parent := range route.list("spec", "parentRefs") {
		gateway := w.find(gatewayGroup, "Gateway", textOr(nestedText(parent, "namespace"), route.namespace), nestedText(parent, "name"))
		if gateway == nil {
			continue
		}
		class := w.find(gatewayGroup, "GatewayClass", "", gateway.text("spec", "gatewayClassName"))
		if class != nil && strings.HasPrefix(class.text("spec", "controllerName"), "io.cilium/") {
			return true
		}
	}
	return false
}

// webhookBlocked: while the API server can't reach a webhook, whatever it is for is refused, or passes unseen.
func webhookBlocked(w *world, report report) {
	for _, o := range w.objects {
		if !o.is("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration") {
			continue
		}
		for _, hook := range o.list("webhooks") {
			client := nestedMap(hook, "clientConfig", "service")
			if client == nil {
				continue
			}
			namespace, name := nestedText(client, "namespace"), nestedText(client, "name")
			service := w.find("", "Service", namespace, name)
			if service == nil {
				report(o, fmt.Sprintf("its webhook %s is at the Service %s/%s, which nothing makes", nestedText(hook, "name"), namespace, name),
					"name a Service that is rendered"+near(name, w.names(namespace, "", "Service")))
				continue
			}
			port := "443"
			if client["port"] != nil {
				port = fmt.Sprint(client["port"])
			}
			w.closedTo(service, port, entityAPIServer, func(t target) {
				report(o, fmt.Sprintf("no policy lets the API server in to port %s of %s, its webhook %s", t.door, party{pod: t.pod}, nestedText(hook, "name")),
					fixFlow+", as entity: api-server")
			})
		}
	}
}

// apiBlocked: a controller that may do something in the cluster and can't reach the API server does nothing, and most end at once.
func apiBlocked(w *world, report report) {
	bound := w.bound()
	for _, p := range w.pods {
		account := p.namespace + "/" + textOr(p.template.Spec.ServiceAccountName, "default")
		if p.made || !p.ours() || !bound[account] || !w.mounts(p) {
			continue
		}
		if !w.lets(p, "egress", party{entity: entityAPIServer}, door{"https", "6443", "TCP"}) {
			report(p.owner, "its ServiceAccount has rights in the cluster, and no policy lets its pods out to the API server", fixFlow+", as entity: api-server")
		}
	}
}

// mounts is true for pods that get a token of their ServiceAccount.
func (w *world) mounts(p *pod) bool {
	if own := p.template.Spec.AutomountServiceAccountToken; own != nil {
		return *own || projectsToken(p)
	}
	account := w.find("", "ServiceAccount", p.namespace, textOr(p.template.Spec.ServiceAccountName, "default"))
	return account == nil || account.Object.Object["automountServiceAccountToken"] != false || projectsToken(p)
}

func projectsToken(p *pod) bool {
	for _, v := range p.template.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == "" {
				return true
			}
		}
	}
	return false
}

// empty is true for a binding of a role that is rendered without a rule.
func (w *world) empty(binding *object) bool {
	kind := binding.text("roleRef", "kind")
	namespace := binding.namespace
	if kind == "ClusterRole" {
		namespace = ""
	}
	role := w.find("rbac.authorization.k8s.io", kind, namespace, binding.text("roleRef", "name"))
	return role != nil && len(role.list("rules")) == 0 && role.Object.Object["aggregationRule"] == nil
}

// bound are the ServiceAccounts, "namespace/name", that a binding gives rights to.
func (w *world) bound() map[string]bool {
	accounts := map[string]bool{}
	for _, o := range w.objects {
		if !o.is("rbac.authorization.k8s.io", "RoleBinding", "ClusterRoleBinding") {
			continue
		}
		if w.empty(o) {
			continue
		}
		for _, subject := range o.list("subjects") {
			if nestedText(subject, "kind") == "ServiceAccount" {
				accounts[textOr(nestedText(subject, "namespace"), o.namespace)+"/"+nestedText(subject, "name")] = true
			}
		}
	}
	return accounts
}
