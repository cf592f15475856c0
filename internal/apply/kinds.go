package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// refreshEvery bounds how often a kind that isn't known makes discovery ask again.
const refreshEvery = 200 * time.Millisecond

// resource is how a kind is reached over HTTP.
type resource struct {
	schema.GroupVersionResource
	Namespaced bool
}

// kinds maps kinds to resources. It learns from discovery, and from CustomResourceDefinitions as they are applied, which
// spares a round of discovery for each layer that brings some. Safe for concurrent use.
type kinds struct {
	discovery discovery.ServerResourcesInterfaceWithContext

	mu        sync.Mutex
	asked     time.Time // when discovery was last asked; zero before the first time
	versioned map[schema.GroupVersionKind]resource
	preferred map[schema.GroupKind]schema.GroupVersionKind
	broken    error // what the last discovery could not read, nil if it was complete
}

func newKinds(d discovery.ServerResourcesInterfaceWithContext) *kinds {
	return &kinds{
		discovery: d,
		versioned: map[schema.GroupVersionKind]resource{},
		preferred: map[schema.GroupKind]schema.GroupVersionKind{},
	}
}

// find is the resource of a kind; with an empty version, that of the version the server prefers. The error is a
// *meta.NoKindMatchError where the server doesn't serve the kind (yet).
func (k *kinds) find(ctx context.Context, gvk schema.GroupVersionKind) (resource, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, ok := k.lookup(gvk); ok {
		return found, nil
	}
	if !k.asked.IsZero() && time.Since(k.asked) < refreshEvery {
		return resource{}, k.missing(gvk)
	}
	if err := k.refresh(ctx); err != nil {
		return resource{}, err
	}
	if found, ok := k.lookup(gvk); ok {
		return found, nil
	}
	return resource{}, k.missing(gvk)
}

func (k *kinds) lookup(gvk schema.GroupVersionKind) (resource, bool) {
	if gvk.Version == "" {
		preferred, ok := k.preferred[gvk.GroupKind()]
		if !ok {
			return resource{}, false
		}
		gvk = preferred
	}
	found, ok := k.versioned[gvk]
	return found, ok
}

// missing tells a kind that isn't served from one whose group could not be asked about.
func (k *kinds) missing(gvk schema.GroupVersionKind) error {
	var failed *discovery.ErrGroupDiscoveryFailed
	if errors.As(k.broken, &failed) {
		for gv := range failed.Groups {
			if gv.Group == gvk.Group {
				return failed
			}
		}
	}
	return &meta.NoKindMatchError{GroupKind: gvk.GroupKind(), SearchedVersions: []string{gvk.Version}}
}

// refresh asks discovery. Groups that can't be read, such as those of an APIService that doesn't answer yet, don't stand in
// the way of the others.
func (k *kinds) refresh(ctx context.Context) error {
	groups, lists, err := k.discovery.ServerGroupsAndResourcesWithContext(ctx)
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return fmt.Errorf("discovering the cluster's kinds: %w", err)
	}
	k.asked, k.broken = time.Now(), err
	for _, list := range lists {
		k.addList(list)
	}
	for _, group := range groups {
		k.prefer(group)
	}
	return nil
}

func (k *kinds) addList(list *metav1.APIResourceList) {
	gv, err := schema.ParseGroupVersion(list.GroupVersion)
	if err != nil {
		return
	}
	for _, r := range list.APIResources {
		if strings.Contains(r.Name, "/") { // a subresource
			continue
		}
		k.add(gv.WithKind(r.Kind), resource{GroupVersionResource: gv.WithResource(r.Name), Namespaced: r.Namespaced})
	}
}

func (k *kinds) add(gvk schema.GroupVersionKind, r resource) {
	k.versioned[gvk] = r
	if _, known := k.preferred[gvk.GroupKind()]; !known {
		k.preferred[gvk.GroupKind()] = gvk
	}
}

// prefer makes the server's preferred version of a group the one for its kinds.
func (k *kinds) prefer(group *metav1.APIGroup) {
	for gvk := range k.versioned {
		if gvk.Group == group.Name && gvk.Version == group.PreferredVersion.Version {
			k.preferred[gvk.GroupKind()] = gvk
		}
	}
}

// learn takes the kinds of a CustomResourceDefinition that the server serves by now.
func (k *kinds) learn(crd *unstructured.Unstructured) {
	served := servedBy(crd)
	k.mu.Lock()
	defer k.mu.Unlock()
	for gvk, r := range served {
		k.add(gvk, r)
	}
}

// servedBy are the kinds that a CustomResourceDefinition defines, all its served versions.
func servedBy(crd *unstructured.Unstructured) map[schema.GroupVersionKind]resource {
	text := func(fields ...string) string {
		value, _, _ := unstructured.NestedString(crd.Object, fields...)
		return value
	}
	group, kind, plural := text("spec", "group"), text("spec", "names", "kind"), text("spec", "names", "plural")
	// Not NestedSlice: that copies the schemas, megabytes for some.
	field, _, _ := unstructured.NestedFieldNoCopy(crd.Object, "spec", "versions")
	versions, _ := field.([]any)
	served := map[schema.GroupVersionKind]resource{}
	for _, entry := range versions {
		version, ok := entry.(map[string]any)
		if !ok || version["served"] != true {
			continue
		}
		name, _ := version["name"].(string)
		gv := schema.GroupVersion{Group: group, Version: name}
		served[gv.WithKind(kind)] = resource{
			GroupVersionResource: gv.WithResource(plural), Namespaced: text("spec", "scope") == "Namespaced",
		}
	}
	return served
}
