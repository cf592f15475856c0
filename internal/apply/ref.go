package apply

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ObjectRef names one object in a cluster, whatever its API version. App is the Argo CD Application that its tracking
// annotation names; it is not part of the identity, it says who may delete the object.
type ObjectRef struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	App       string `json:"app,omitempty"`
}

// String is the ref as people write it: "Deployment argocd/argocd-server", "ClusterRole view".
func (r ObjectRef) String() string {
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	kind := r.Kind
	if r.Group != "" && !builtIn(r.Group) {
		kind += "." + r.Group
	}
	return kind + " " + name
}

// GroupKind is the ref's kind without a version.
func (r ObjectRef) GroupKind() schema.GroupKind {
	return schema.GroupKind{Group: r.Group, Kind: r.Kind}
}

// identity is the ref without the fields that don't identify the object.
func (r ObjectRef) identity() ObjectRef {
	r.App = ""
	return r
}

// RefOf is the reference of an object as it stands, without a default for its namespace.
func RefOf(obj *unstructured.Unstructured) ObjectRef {
	gvk := obj.GroupVersionKind()
	return ObjectRef{
		Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
		App: trackedBy(obj.GetAnnotations()),
	}
}

// trackedBy is the Application in a tracking id, which has the form app:group/kind:namespace/name.
func trackedBy(annotations map[string]string) string {
	app, _, found := strings.Cut(annotations[annotationTracking], ":")
	if !found {
		return ""
	}
	return app
}

// Union is both lists as one, without duplicates, sorted.
func Union(a, b []ObjectRef) []ObjectRef {
	seen := make(map[ObjectRef]bool, len(a)+len(b))
	var all []ObjectRef
	for _, list := range [][]ObjectRef{a, b} {
		for _, ref := range list {
			if !seen[ref] {
				seen[ref] = true
				all = append(all, ref)
			}
		}
	}
	sortRefs(all)
	return all
}

func sortRefs(refs []ObjectRef) {
	slices.SortFunc(refs, func(a, b ObjectRef) int {
		return cmp.Or(
			cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.Name, b.Name), cmp.Compare(a.App, b.App))
	})
}

// builtIn says whether an API group is one of Kubernetes itself.
func builtIn(group string) bool {
	switch group {
	case "", "apps", "autoscaling", "batch", "policy", "admissionregistration.k8s.io", "apiextensions.k8s.io",
		"apiregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io",
		"coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "networking.k8s.io",
		"node.k8s.io", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io", "storage.k8s.io",
		"storagemigration.k8s.io":
		return true
	}
	return false
}
