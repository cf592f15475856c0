package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// TrackingAnnotation is the annotation by which Argo CD knows its objects (tracking method "annotation", its default).
const TrackingAnnotation = "argocd.argoproj.io/tracking-id"

// split reads a stream of YAML documents; empty ones and null are dropped.
func split(manifest string) ([]Object, error) {
	const peek = 4096 // bytes that the decoder looks at to tell JSON from YAML, as Argo CD has it
	decoder := kubeyaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), peek)
	var objects []Object
	for {
		raw := runtime.RawExtension{}
		if err := decoder.Decode(&raw); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("rendered manifests: %w", err)
		}
		document := bytes.TrimSpace(raw.Raw)
		if len(document) == 0 || bytes.Equal(document, []byte("null")) {
			continue
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, o); err != nil {
			return nil, fmt.Errorf("rendered manifests: %w in %s", err, excerpt(document))
		}
		objects = append(objects, o)
	}
}

// excerpt is enough of a document to recognise it.
func excerpt(document []byte) string {
	const limit = 120
	if len(document) > limit {
		return string(document[:limit]) + "…"
	}
	return string(document)
}

// flatten replaces lists by their items.
func flatten(documents []Object) ([]Object, error) {
	var objects []Object
	for _, o := range documents {
		switch {
		case o.IsList():
			err := o.EachListItem(func(item runtime.Object) error {
				u, ok := item.(*unstructured.Unstructured)
				if !ok {
					return fmt.Errorf("item of a list is a %T", item)
				}
				objects = append(objects, u)
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
			}
		case !isNullList(o):
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// isNullList is for a list whose items are null, which IsList doesn't take for one.
func isNullList(o Object) bool {
	_, spec := o.Object["spec"]
	_, status := o.Object["status"]
	items, found := o.Object["items"]
	return found && items == nil && !spec && !status
}

// track annotates an object with the Application that it belongs to. CustomResourceDefinitions are left alone, as Argo CD leaves them.
func track(o Object, app, namespace string) error {
	if o.GroupVersionKind().GroupKind() == (schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}) {
		return nil
	}
	annotations, err := annotationsOf(o)
	if err != nil {
		return fmt.Errorf("annotations of %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	// Argo CD removes the mark of another installation, and thereby makes an empty map of none.
	delete(annotations, "argocd.argoproj.io/installation-id")
	annotations[TrackingAnnotation] = TrackingID(o, app, namespace)
	o.SetAnnotations(annotations)
	return nil
}

func annotationsOf(o Object) (map[string]string, error) {
	value, found, err := unstructured.NestedFieldNoCopy(o.Object, "metadata", "annotations")
	if err != nil || !found || value == nil {
		return map[string]string{}, err
	}
	annotations, _, err := unstructured.NestedStringMap(o.Object, "metadata", "annotations")
	if annotations == nil {
		annotations = map[string]string{}
	}
	return annotations, err
}

// TrackingID is "<app>:<group>/<kind>:<namespace>/<name>". Where the object has no namespace, be it that its kind has none, it is the
// Application's destination.
func TrackingID(o Object, app, destination string) string {
	namespace := o.GetNamespace()
	if namespace == "" {
		namespace = destination
	}
	gvk := o.GroupVersionKind()
	return fmt.Sprintf("%s:%s/%s:%s/%s", app, gvk.Group, gvk.Kind, namespace, o.GetName())
}
