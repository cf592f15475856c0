package lint

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// pod is what a workload makes pods of.
type pod struct {
	owner     *object // the rendered object to report on
	kind      string  // of the workload: "Deployment", …
	namespace string
	replicas  int64
	template  corev1.PodTemplateSpec
	made      bool // by an operator: only what its custom resource says is known
}

// longRunning is false for pods that are meant to end.
func (p *pod) longRunning() bool { return p.kind != "Job" && p.kind != "CronJob" }

// ours is false for the pods that every cluster has anyway, and for those that can't be decoded, which have their finding.
func (p *pod) ours() bool { return p.owner.component != nil && p.owner.broken == nil }

// containers are all containers, those that only start the pod first.
func (p *pod) containers() []corev1.Container {
	return slices.Concat(p.template.Spec.InitContainers, p.template.Spec.Containers)
}

// staying are the containers that run as long as the pod, sidecars among the init containers included.
func (p *pod) staying() []corev1.Container {
	sidecars := slices.DeleteFunc(slices.Clone(p.template.Spec.InitContainers), func(c corev1.Container) bool { return !sidecar(c) })
	return slices.Concat(sidecars, p.template.Spec.Containers)
}

func sidecar(c corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// templatePlace is where a kind has its pod template; false for kinds without one.
func templatePlace(o *object) ([]string, bool) {
	switch {
	case o.is("apps", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"), o.is("batch", "Job"):
		return []string{"spec", "template"}, true
	case o.is("batch", "CronJob"):
		return []string{"spec", "jobTemplate", "spec", "template"}, true
	case o.is("", "Pod"):
		return nil, true
	}
	return nil, false
}

// podOf is the pod template of a workload, nil for other objects. Of one that can't be decoded, which is noted, it has the labels.
func podOf(o *object) *pod {
	place, ok := templatePlace(o)
	if !ok {
		return nil
	}
	p := &pod{owner: o, kind: o.GetKind(), namespace: o.namespace, replicas: 1, made: o.made}
	if o.from != nil {
		p.owner = o.from
	}
	content := o.Object.Object
	if place != nil {
		content = nestedMap(content, place...)
	}
	plain := map[string]any{"metadata": content["metadata"], "spec": content["spec"]}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(plain, &p.template); err != nil {
		// Others may select it all the same.
		o.broken = err
		p.template = corev1.PodTemplateSpec{}
		p.template.Labels, _, _ = unstructured.NestedStringMap(content, "metadata", "labels")
	}
	if n, ok := nestedMap(o.Object.Object, "spec")["replicas"].(int64); ok {
		p.replicas = n
	}
	return p
}
