package lint

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
)

// object is a rendered object, and where it ends up.
type object struct {
	render.Object
	component *Component
	namespace string  // empty for a kind without namespaces
	made      bool    // not rendered, but made by the cluster or by an operator
	from      *object // what it is made of; empty for what every cluster has
	broken    error   // why its pod template can't be decoded
}

// ref names the object.
func (o *object) ref() Object {
	name := o.GetName()
	if generated := o.GetGenerateName(); name == "" && generated != "" {
		name = generated + "*"
	}
	return Object{Group: o.group(), Kind: o.GetKind(), Namespace: o.namespace, Name: name}
}

func (o *object) group() string { return o.GroupVersionKind().Group }

// simulated is true for an object of a stand-in: what its inventory doesn't record isn't there.
func (o *object) simulated() bool { return o.GetAnnotations()[chart.SimulatedAnnotation] != "" }

// is compares the kind, of any version.
func (o *object) is(group string, kinds ...string) bool {
	return o.group() == group && slices.Contains(kinds, o.GetKind())
}

func (o *object) list(fields ...string) []map[string]any {
	return nestedList(o.Object.Object, fields...)
}
func (o *object) text(fields ...string) string { return nestedText(o.Object.Object, fields...) }

// world is the platform as the API server would have it once everything is applied.
type world struct {
	platform   *platform.Platform
	secrets    Secrets
	components []Component
	objects    []*object // rendered ones
	all        []*object // and what the cluster and its operators add
	pods       []*pod    // those of all
	namespaces map[string]labels.Set
	policies   map[string][]*object        // network policies, by namespace
	scopes     map[schema.GroupKind]string // of custom resources
	nodes      []node
}

func newWorld(in Input) *world {
	w := &world{
		platform: in.Platform, secrets: in.Secrets, components: in.Components,
		namespaces: map[string]labels.Set{}, policies: map[string][]*object{}, scopes: map[schema.GroupKind]string{}, nodes: nodesOf(in.Platform.Config.Cluster),
	}
	for i := range in.Components {
		for _, o := range in.Components[i].Objects {
			if isCRD(o) {
				w.scopes[schema.GroupKind{Group: nestedText(o.Object, "spec", "group"), Kind: nestedText(o.Object, "spec", "names", "kind")}] = nestedText(o.Object, "spec", "scope")
			}
		}
	}
	for i := range in.Components {
		for _, o := range in.Components[i].Objects {
			if !isTest(o) {
				w.objects = append(w.objects, w.place(o, &in.Components[i]))
			}
		}
	}
	w.all = append(slices.Clone(w.objects), w.made()...)
	for _, o := range w.all {
		if o.is("", "Namespace") {
			own := labels.Set{corev1.LabelMetadataName: o.GetName()}
			w.namespaces[o.GetName()] = labels.Merge(o.GetLabels(), own)
		}
		if p := podOf(o); p != nil {
			w.pods = append(w.pods, p)
		}
		if _, ok := policySelector(o); ok {
			w.policies[o.namespace] = append(w.policies[o.namespace], o)
		}
	}
	w.scale()
	return w
}

// scale gives workloads the replicas that an autoscaler keeps at least.
func (w *world) scale() {
	for _, o := range w.objects {
		least, _ := nestedMap(o.Object.Object, "spec")["minReplicas"].(int64)
		if !o.is("autoscaling", "HorizontalPodAutoscaler") {
			continue
		}
		for _, p := range w.pods {
			if p.namespace == o.namespace && p.kind == o.text("spec", "scaleTargetRef", "kind") && p.owner.GetName() == o.text("spec", "scaleTargetRef", "name") {
				p.replicas = max(p.replicas, least)
			}
		}
	}
}

func (w *world) place(o render.Object, c *Component) *object {
	placed := &object{Object: o, component: c, namespace: o.GetNamespace()}
	switch {
	case w.clusterScoped(o.GroupVersionKind().GroupKind()):
		placed.namespace = ""
	case placed.namespace == "":
		placed.namespace = c.Namespace
	}
	return placed
}

func (w *world) clusterScoped(kind schema.GroupKind) bool {
	if scope, custom := w.scopes[kind]; custom {
		return scope == "Cluster"
	}
	return slices.Contains(clusterScoped(), kind.String())
}

// clusterScoped are the built-in kinds without a namespace that a component may bring.
func clusterScoped() []string {
	return []string{
		"Namespace", "Node", "PersistentVolume", "PriorityClass.scheduling.k8s.io", "StorageClass.storage.k8s.io", "CSIDriver.storage.k8s.io",
		"VolumeAttributesClass.storage.k8s.io", "ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
		"CustomResourceDefinition.apiextensions.k8s.io", "APIService.apiregistration.k8s.io", "IngressClass.networking.k8s.io",
		"RuntimeClass.node.k8s.io", "MutatingWebhookConfiguration.admissionregistration.k8s.io",
		"ValidatingWebhookConfiguration.admissionregistration.k8s.io", "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
		"ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io", "MutatingAdmissionPolicy.admissionregistration.k8s.io",
		"MutatingAdmissionPolicyBinding.admissionregistration.k8s.io", "FlowSchema.flowcontrol.apiserver.k8s.io",
		"PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io", "DeviceClass.resource.k8s.io",
	}
}

// isTest is true for what Argo CD never applies: a hook that only `helm test` runs.
func isTest(o render.Object) bool {
	return strings.HasPrefix(strings.TrimSpace(o.GetAnnotations()["helm.sh/hook"]), "test")
}

func isCRD(o render.Object) bool {
	return o.GroupVersionKind().GroupKind() == schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
}

// find is the object of that kind and name, nil where nothing makes one.
func (w *world) find(group, kind, namespace, name string) *object {
	for _, o := range w.all {
		if o.GetName() == name && o.namespace == namespace && o.is(group, kind) {
			return o
		}
	}
	return nil
}

// in are the objects of a kind in a namespace.
func (w *world) in(namespace, group string, kinds ...string) []*object {
	var found []*object
	for _, o := range w.all {
		if o.namespace == namespace && o.is(group, kinds...) {
			found = append(found, o)
		}
	}
	return found
}

// names are those of the objects of a kind in a namespace, for hints.
func (w *world) names(namespace, group, kind string) []string {
	var names []string
	for _, o := range w.in(namespace, group, kind) {
		names = append(names, o.GetName())
	}
	return names
}

// podsIn are the pods in a namespace that a selector matches.
func (w *world) podsIn(namespace string, selector labels.Selector) []*pod {
	var found []*pod
	for _, p := range w.pods {
		if p.namespace == namespace && selector.Matches(labels.Set(p.template.Labels)) {
			found = append(found, p)
		}
	}
	return found
}

func nestedText(object map[string]any, fields ...string) string {
	value, _, _ := unstructured.NestedString(object, fields...)
	return value
}

func nestedMap(object map[string]any, fields ...string) map[string]any {
	value, _, _ := unstructured.NestedFieldNoCopy(object, fields...)
	m, _ := value.(map[string]any)
	return m
}

func nestedList(object map[string]any, fields ...string) []map[string]any {
	value, _, _ := unstructured.NestedFieldNoCopy(object, fields...)
	items, _ := value.([]any)
	var list []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			list = append(list, m)
		}
	}
	return list
}

func nestedTexts(object map[string]any, fields ...string) []string {
	list, _, _ := unstructured.NestedStringSlice(object, fields...)
	return list
}

func textOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// near is " (did you mean …?)" for a name that is nearly one of those known.
func near(name string, known []string) string {
	if n := platform.Nearest(name, known); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

func setOf(o *object) labels.Set { return labels.Set(o.GetLabels()) }
