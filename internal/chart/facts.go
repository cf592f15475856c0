package chart

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const (
	// maxObject is the size, in bytes of YAML, up to which a custom resource is recorded whole. Larger ones are content
	// of the chart too.
	maxObject = 6 << 10
	// maxData is the size up to which a ConfigMap is recorded of a chart that can't be rendered without values.
	maxData = 8 << 10
)

// recordedKinds are the built-in kinds that are recorded whole, since something else depends on what they say. Workloads,
// Services, ConfigMaps, Secrets and CRDs have their own place; of all other kinds just the number is recorded.
func recordedKinds() []string {
	return []string{
		"ServiceAccount", "PodDisruptionBudget", "PersistentVolumeClaim", "StorageClass", "IngressClass", "PriorityClass", "Namespace",
		"APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "HorizontalPodAutoscaler", "ResourceQuota", "LimitRange",
	}
}

// contentKinds are custom resources that are content of the chart, which nothing else depends on.
func contentKinds() []string {
	return []string{"PrometheusRule"}
}

// fill sorts what a chart made into facts.
func (r *rendered) fill(facts *Chart) {
	kinds := recordedKinds()
	images := map[string]bool{}
	for _, object := range r.objects {
		kind := text(object, "kind")
		switch kind {
		case "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob":
			w := workload(object)
			for _, c := range slices.Concat(w.Pod.InitContainers, w.Pod.Containers) {
				images[c.Image] = true
			}
			facts.Workloads = append(facts.Workloads, w)
		case "Service":
			facts.Services = append(facts.Services, service(object))
		case "ConfigMap":
			facts.ConfigMaps = append(facts.ConfigMaps, r.configMap(object))
		case "Secret":
			facts.Secrets = append(facts.Secrets, secret(object))
		case "CustomResourceDefinition":
			facts.CRDs = append(facts.CRDs, crd(object))
		default:
			if slices.Contains(kinds, kind) || custom(object) && !slices.Contains(contentKinds(), kind) && size(object) <= maxObject {
				facts.Objects = append(facts.Objects, trimmed(object))
				continue
			}
			if facts.Omitted == nil {
				facts.Omitted = map[string]int{}
			}
			facts.Omitted[kind]++
		}
		if image := text(dig(object, "spec"), "image"); custom(object) && strings.Contains(image, "/") {
			images[image] = true
		}
	}
	facts.Images = slices.Sorted(maps.Keys(images))
	slices.SortStableFunc(facts.Workloads, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortStableFunc(facts.Services, func(a, b Service) int { return cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	slices.SortStableFunc(facts.ConfigMaps, func(a, b ConfigMap) int { return cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	slices.SortStableFunc(facts.Secrets, func(a, b Secret) int { return cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	slices.SortStableFunc(facts.CRDs, func(a, b CRD) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(facts.Objects, func(a, b map[string]any) int {
		return cmp.Or(cmp.Compare(text(a, "kind"), text(b, "kind")), cmp.Compare(nameOf(a), nameOf(b)))
	})
}

// custom is true for a kind that Kubernetes itself doesn't have.
func custom(object map[string]any) bool {
	group, _, grouped := strings.Cut(text(object, "apiVersion"), "/")
	return grouped && !scheme.Scheme.IsGroupRegistered(group) && group != "apiextensions.k8s.io" && group != "apiregistration.k8s.io"
}

func size(object map[string]any) int {
	text, err := yaml.Marshal(object)
	if err != nil {
		return maxObject + 1
	}
	return len(text)
}

// trimmed leaves out what says nothing to others.
func trimmed(object map[string]any) map[string]any {
	kept := deepCopy(object).(map[string]any)
	delete(kept, "status")
	if annotations := dig(kept, "metadata", "annotations"); annotations != nil {
		maps.DeleteFunc(annotations, func(name string, _ any) bool { return strings.HasPrefix(name, "checksum/") })
		if len(annotations) == 0 {
			delete(dig(kept, "metadata"), "annotations")
		}
	}
	return kept
}

func workload(object map[string]any) Workload {
	spec := dig(object, "spec")
	w := Workload{
		APIVersion: text(object, "apiVersion"), Kind: text(object, "kind"), Name: nameOf(object),
		Namespace: namespaceOf(object), Labels: labelsOf(object), Annotations: hooksOf(object),
	}
	template := dig(spec, "template")
	switch w.Kind {
	case "CronJob":
		w.Schedule = text(spec, "schedule")
		template = dig(spec, "jobTemplate", "spec", "template")
	case "Job":
	default:
		w.Selector = dig(spec, "selector")
		w.ServiceName = text(spec, "serviceName")
		w.Strategy = dig(spec, "updateStrategy")
		if w.Kind == "Deployment" {
			w.Strategy = dig(spec, "strategy")
		}
		w.Replicas = number(spec, "replicas")
		for _, claim := range items(spec, "volumeClaimTemplates") {
			w.VolumeClaims = append(w.VolumeClaims, trimmed(claim))
		}
	}
	w.Pod = pod(template)
	return w
}

func pod(template map[string]any) Pod {
	spec := dig(template, "spec")
	p := Pod{
		Labels:                        labelsOf(template),
		ServiceAccountName:            text(spec, "serviceAccountName"),
		PriorityClassName:             text(spec, "priorityClassName"),
		RestartPolicy:                 text(spec, "restartPolicy"),
		HostNetwork:                   spec["hostNetwork"] == true,
		HostPID:                       spec["hostPID"] == true,
		TerminationGracePeriodSeconds: number(spec, "terminationGracePeriodSeconds"),
		NodeSelector:                  texts(dig(spec, "nodeSelector")),
		Affinity:                      dig(spec, "affinity"),
		SecurityContext:               dig(spec, "securityContext"),
		Tolerations:                   list(spec, "tolerations"),
		TopologySpreadConstraints:     list(spec, "topologySpreadConstraints"),
		InitContainers:                containersOf(spec, "initContainers"),
		Containers:                    containersOf(spec, "containers"),
	}
	for _, volume := range items(spec, "volumes") {
		if dig(volume, "persistentVolumeClaim") != nil {
			p.Volumes = append(p.Volumes, volume)
		}
	}
	return p
}

func containersOf(spec map[string]any, field string) []Container {
	var found []Container
	for _, c := range items(spec, field) {
		found = append(found, Container{
			Name: text(c, "name"), Image: text(c, "image"), RestartPolicy: text(c, "restartPolicy"),
			Resources: dig(c, "resources"), Ports: list(c, "ports"), SecurityContext: dig(c, "securityContext"),
		})
	}
	return found
}

func service(object map[string]any) Service {
	spec := dig(object, "spec")
	return Service{
		Name: nameOf(object), Namespace: namespaceOf(object), Labels: labelsOf(object),
		Type: text(spec, "type"), ClusterIP: text(spec, "clusterIP"), Selector: texts(dig(spec, "selector")), Ports: list(spec, "ports"),
	}
}

// configMap keeps of the data what differs from the chart's defaults, or is what the component's values
// say word for word.
func (r *rendered) configMap(object map[string]any) ConfigMap {
	m := ConfigMap{Name: nameOf(object), Namespace: namespaceOf(object), Labels: labelsOf(object), Annotations: hooksOf(object)}
	data := dig(object, "data")
	m.Keys = slices.Sorted(maps.Keys(data))
	small := size(object) <= maxData
	for _, key := range m.Keys {
		value, isText := data[key].(string)
		ours := r.said[key] == value || r.defaults != nil && r.defaults[m.Name][key] != data[key] || r.defaults == nil && small
		if isText && ours {
			if m.Data == nil {
				m.Data = map[string]string{}
			}
			m.Data[key] = value
		}
	}
	return m
}

func secret(object map[string]any) Secret {
	names := map[string]bool{}
	for _, field := range []string{"data", "stringData"} {
		for key := range dig(object, field) {
			names[key] = true
		}
	}
	return Secret{
		Name: nameOf(object), Namespace: namespaceOf(object), Labels: labelsOf(object), Annotations: hooksOf(object),
		Type: text(object, "type"), Keys: slices.Sorted(maps.Keys(names)),
	}
}

func crd(object map[string]any) CRD {
	spec := dig(object, "spec")
	names := dig(spec, "names")
	c := CRD{
		Name: nameOf(object), Group: text(spec, "group"), Scope: text(spec, "scope"),
		Kind: text(names, "kind"), ListKind: text(names, "listKind"), Plural: text(names, "plural"), Singular: text(names, "singular"),
		ShortNames: strs(names, "shortNames"), Categories: strs(names, "categories"),
		Webhook: text(dig(spec, "conversion"), "strategy") == "Webhook",
	}
	for _, v := range items(spec, "versions") {
		c.Versions = append(c.Versions, CRDVersion{
			Name: text(v, "name"), Served: v["served"] == true, Storage: v["storage"] == true, Status: dig(v, "subresources", "status") != nil,
		})
	}
	return c
}

func namespaceOf(object map[string]any) string { return text(dig(object, "metadata"), "namespace") }

func labelsOf(object map[string]any) map[string]string {
	return texts(dig(object, "metadata", "labels"))
}

// hooksOf keeps the annotations that make an object a hook of Helm's or Argo CD's.
func hooksOf(object map[string]any) map[string]string {
	var hooks map[string]string
	for name, value := range texts(dig(object, "metadata", "annotations")) {
		if strings.HasPrefix(name, "helm.sh/hook") || strings.HasPrefix(name, "argocd.argoproj.io/hook") {
			if hooks == nil {
				hooks = map[string]string{}
			}
			hooks[name] = value
		}
	}
	return hooks
}

func text(object map[string]any, field string) string {
	value, _ := object[field].(string)
	return value
}

func number(object map[string]any, field string) *int64 {
	if value, ok := object[field].(int64); ok {
		return &value
	}
	return nil
}

func list(object map[string]any, field string) []any {
	values, _ := object[field].([]any)
	return values
}

func items(object map[string]any, field string) []map[string]any {
	var found []map[string]any
	for _, item := range list(object, field) {
		if m, ok := item.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}

func strs(object map[string]any, field string) []string {
	var found []string
	for _, item := range list(object, field) {
		if s, ok := item.(string); ok {
			found = append(found, s)
		}
	}
	return found
}

// texts keeps the strings of a map.
func texts(object map[string]any) map[string]string {
	var found map[string]string
	for name, value := range object {
		if s, ok := value.(string); ok {
			if found == nil {
				found = map[string]string{}
			}
			found[name] = s
		}
	}
	return found
}
