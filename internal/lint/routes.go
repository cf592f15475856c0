package lint

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const gatewayGroup = "gateway.networking.k8s.io"

func (w *world) routes() []*object {
	var list []*object
	for _, o := range w.objects {
		if o.is(gatewayGroup, "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute") {
			list = append(list, o)
		}
	}
	return list
}

// routeBackend: a route to a Service or a port that doesn't exist answers 500 to everybody, and nothing else shows it.
func routeBackend(w *world, report report) {
	for _, o := range w.routes() {
		for _, rule := range o.list("spec", "rules") {
			for _, backend := range nestedList(rule, "backendRefs") {
				if nestedText(backend, "group") == "" && textOr(nestedText(backend, "kind"), "Service") == "Service" {
					w.backend(o, backend, report)
				}
			}
		}
	}
}

func (w *world) backend(route *object, backend map[string]any, report report) {
	namespace, name := textOr(nestedText(backend, "namespace"), route.namespace), nestedText(backend, "name")
	service := w.find("", "Service", namespace, name)
	if service == nil {
		report(route, fmt.Sprintf("it leads to the Service %s/%s, which nothing makes", namespace, name),
			"name a Service that is rendered"+near(name, w.names(namespace, "", "Service")))
		return
	}
	var have []string
	for _, port := range service.list("spec", "ports") {
		have = append(have, fmt.Sprint(port["port"]))
	}
	if want := fmt.Sprint(backend["port"]); !slices.Contains(have, want) {
		report(route, fmt.Sprintf("it leads to port %s of the Service %s/%s, which has none such", want, namespace, name), "its ports are "+strings.Join(have, ", "))
	}
	if namespace != route.namespace && !w.granted(route, namespace) {
		report(route, "it leads to a Service in "+namespace+" without a ReferenceGrant there", "put the route beside its Service")
	}
}

func (w *world) granted(route *object, namespace string) bool {
	return slices.ContainsFunc(w.in(namespace, gatewayGroup, "ReferenceGrant"), func(grant *object) bool {
		return slices.ContainsFunc(grant.list("spec", "from"), func(from map[string]any) bool {
			return from["kind"] == route.GetKind() && from["namespace"] == route.namespace
		})
	})
}

// routeParent: a route whose Gateway or listener doesn't exist is attached to nothing: its host answers 404.
func routeParent(w *world, report report) {
	for _, o := range w.routes() {
		for _, parent := range o.list("spec", "parentRefs") {
			if textOr(nestedText(parent, "kind"), "Gateway") != "Gateway" {
				continue
			}
			namespace, name := textOr(nestedText(parent, "namespace"), o.namespace), nestedText(parent, "name")
			gateway := w.find(gatewayGroup, "Gateway", namespace, name)
			if gateway == nil {
				report(o, fmt.Sprintf("it attaches to the Gateway %s/%s, which nothing makes", namespace, name),
					"name a Gateway that is rendered"+near(name, w.names(namespace, gatewayGroup, "Gateway")))
				continue
			}
			var listeners []string
			for _, l := range gateway.list("spec", "listeners") {
				listeners = append(listeners, nestedText(l, "name"))
			}
			if section := nestedText(parent, "sectionName"); section != "" && !slices.Contains(listeners, section) {
				report(o, fmt.Sprintf("it attaches to the listener %s of the Gateway %s/%s, which has none such", section, namespace, name),
					"its listeners are "+strings.Join(listeners, ", "))
			}
		}
	}
}

// routeTLS: a gateway speaks plain HTTP to a backend unless a BackendTLSPolicy says otherwise. A server that wants TLS answers 400 to
// everybody.
func routeTLS(w *world, report report) {
	for _, o := range w.routes() {
		if !o.is(gatewayGroup, "HTTPRoute", "GRPCRoute") {
			continue // the others pass on what they get
		}
		for _, rule := range o.list("spec", "rules") {
			for _, backend := range nestedList(rule, "backendRefs") {
				namespace, name := textOr(nestedText(backend, "namespace"), o.namespace), nestedText(backend, "name")
				service := w.find("", "Service", namespace, name)
				if service == nil || w.encrypts(service) {
					continue
				}
				for _, port := range service.list("spec", "ports") {
					if fmt.Sprint(port["port"]) == fmt.Sprint(backend["port"]) && w.wantsTLS(service, port) {
						report(o, fmt.Sprintf("it leads to port %v of the Service %s/%s, which wants TLS, and the gateway speaks plain HTTP to it", backend["port"], namespace, name),
							"let the server listen without TLS behind the gateway, or give the Service a BackendTLSPolicy")
					}
				}
			}
		}
	}
}

// encrypts is true for a Service that a BackendTLSPolicy is for.
func (w *world) encrypts(service *object) bool {
	return slices.ContainsFunc(w.in(service.namespace, gatewayGroup, "BackendTLSPolicy"), func(policy *object) bool {
		return slices.ContainsFunc(policy.list("spec", "targetRefs"), func(ref map[string]any) bool {
			return ref["kind"] == "Service" && ref["name"] == service.GetName()
		})
	})
}

// wantsTLS is true for a port that says so by its name or protocol, or whose pods' probes speak TLS to it.
func (w *world) wantsTLS(service *object, port map[string]any) bool {
	if strings.HasPrefix(nestedText(port, "name"), "https") || strings.EqualFold(nestedText(port, "appProtocol"), "https") {
		return true
	}
	return slices.ContainsFunc(w.behind(service, port), func(t target) bool {
		return slices.ContainsFunc(t.pod.containers(), func(c corev1.Container) bool { return speaksTLS(t, c.ReadinessProbe) || speaksTLS(t, c.LivenessProbe) })
	})
}

func speaksTLS(t target, probe *corev1.Probe) bool {
	if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Scheme != corev1.URISchemeHTTPS {
		return false
	}
	port := probe.HTTPGet.Port.String()
	return port == t.door.name || port == t.door.number
}
