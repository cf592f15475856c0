package chart

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// objects gives back, as Kubernetes objects, everything the inventory recorded of the chart but its CRDs.
func (c Chart) objects() []map[string]any {
	var list []map[string]any
	for _, o := range c.Objects {
		list = append(list, deepCopy(o).(map[string]any))
	}
	for _, m := range c.ConfigMaps {
		list = append(list, m.object())
	}
	for _, s := range c.Secrets {
		list = append(list, s.object())
	}
	for _, s := range c.Services {
		list = append(list, s.object())
	}
	for _, w := range c.Workloads {
		list = append(list, w.object())
	}
	return list
}

func head(apiVersion, kind, name, namespace string, labels, annotations map[string]string) map[string]any {
	meta := map[string]any{"name": name}
	setUnless(meta, "namespace", namespace)
	if len(labels) > 0 {
		meta["labels"] = toAny(labels)
	}
	if len(annotations) > 0 {
		meta["annotations"] = toAny(annotations)
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": meta}
}

func toAny(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (m ConfigMap) object() map[string]any {
	object := head("v1", "ConfigMap", m.Name, m.Namespace, m.Labels, m.Annotations)
	if len(m.Data) > 0 {
		object["data"] = toAny(m.Data)
	}
	return object
}

// object has every key with nothing in it: some types of Secret are refused without their keys.
func (s Secret) object() map[string]any {
	object := head("v1", "Secret", s.Name, s.Namespace, s.Labels, s.Annotations)
	setUnless(object, "type", s.Type)
	if len(s.Keys) > 0 {
		data := map[string]any{}
		for _, key := range s.Keys {
			data[key] = ""
		}
		object["data"] = data
	}
	return object
}

func (s Service) object() map[string]any {
	object := head("v1", "Service", s.Name, s.Namespace, s.Labels, nil)
	spec := child(object, "spec")
	setUnless(spec, "type", s.Type)
	setUnless(spec, "clusterIP", s.ClusterIP)
	if len(s.Selector) > 0 {
		spec["selector"] = toAny(s.Selector)
	}
	if len(s.Ports) > 0 {
		spec["ports"] = s.Ports
	}
	return object
}

func (w Workload) object() map[string]any {
	object := head(w.APIVersion, w.Kind, w.Name, w.Namespace, w.Labels, w.Annotations)
	spec := child(object, "spec")
	template := w.Pod.template()
	if w.Kind == "CronJob" {
		spec["schedule"] = w.Schedule
		child(child(spec, "jobTemplate"), "spec")["template"] = template
		return object
	}
	spec["template"] = template
	if w.Replicas != nil {
		spec["replicas"] = *w.Replicas
	}
	if len(w.Selector) > 0 {
		spec["selector"] = w.Selector
	}
	setUnless(spec, "serviceName", w.ServiceName)
	if len(w.Strategy) > 0 {
		field := "updateStrategy"
		if w.Kind == "Deployment" {
			field = "strategy"
		}
		spec[field] = w.Strategy
	}
	if len(w.VolumeClaims) > 0 {
		spec["volumeClaimTemplates"] = w.VolumeClaims
	}
	return object
}

func (p Pod) template() map[string]any {
	spec := map[string]any{}
	setUnless(spec, "serviceAccountName", p.ServiceAccountName)
	setUnless(spec, "priorityClassName", p.PriorityClassName)
	setUnless(spec, "restartPolicy", p.RestartPolicy)
	if p.HostNetwork {
		spec["hostNetwork"] = true
	}
	if p.HostPID {
		spec["hostPID"] = true
	}
	if p.TerminationGracePeriodSeconds != nil {
		spec["terminationGracePeriodSeconds"] = *p.TerminationGracePeriodSeconds
	}
	if len(p.NodeSelector) > 0 {
		spec["nodeSelector"] = toAny(p.NodeSelector)
	}
	if len(p.Affinity) > 0 {
		spec["affinity"] = p.Affinity
	}
	if len(p.SecurityContext) > 0 {
		spec["securityContext"] = p.SecurityContext
	}
	for field, list := range map[string][]any{"tolerations": p.Tolerations, "topologySpreadConstraints": p.TopologySpreadConstraints, "volumes": p.Volumes} {
		if len(list) > 0 {
			spec[field] = list
		}
	}
	if len(p.InitContainers) > 0 {
		spec["initContainers"] = containers(p.InitContainers)
	}
	spec["containers"] = containers(p.Containers)
	template := map[string]any{"spec": spec}
	if len(p.Labels) > 0 {
		template["metadata"] = map[string]any{"labels": toAny(p.Labels)}
	}
	return template
}

func containers(list []Container) []any {
	out := make([]any, 0, len(list))
	for _, c := range list {
		container := map[string]any{"name": c.Name, "image": c.Image}
		setUnless(container, "restartPolicy", c.RestartPolicy)
		if len(c.Resources) > 0 {
			container["resources"] = c.Resources
		}
		if len(c.Ports) > 0 {
			container["ports"] = c.Ports
		}
		if len(c.SecurityContext) > 0 {
			container["securityContext"] = c.SecurityContext
		}
		out = append(out, container)
	}
	return out
}

// parseObjects reads a stream of YAML documents the way Kubernetes does; whole numbers stay whole.
func parseObjects(data []byte) ([]map[string]any, error) {
	var list []map[string]any
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		object, err := parseObject(text)
		if err != nil {
			return nil, err
		}
		if len(object) > 0 {
			list = append(list, object)
		}
	}
}

func parseObject(text []byte) (map[string]any, error) {
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := utiljson.Unmarshal(asJSON, &object); err != nil {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	return object, nil
}

func nameOf(object map[string]any) string {
	name, _ := dig(object, "metadata")["name"].(string)
	return name
}

func deepCopy(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = deepCopy(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = deepCopy(item)
		}
		return out
	default:
		return v
	}
}
