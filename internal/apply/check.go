package apply

import (
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// check finds objects that can't be sent at all.
func check(objs []*unstructured.Unstructured, component string) error {
	var errs []error
	for _, obj := range objs {
		if fault := faultOf(obj); fault != "" {
			errs = append(errs, &ObjectError{Object: RefOf(obj), Component: component, Err: errors.New(fault)})
		}
	}
	return errors.Join(errs...)
}

func faultOf(obj *unstructured.Unstructured) string {
	switch {
	case obj.GetAPIVersion() == "" || obj.GetKind() == "":
		return "has no apiVersion or no kind"
	case obj.GetName() == "" && obj.GetGenerateName() == "":
		return "has no metadata.name"
	case obj.GetName() == "" && !isHook(obj):
		return "has metadata.generateName, which only a hook may have, since every run would make another object"
	}
	return ""
}

// lastOfEach keeps the last of the objects with the same reference, as Argo CD does.
func lastOfEach(objs []*unstructured.Unstructured) []*unstructured.Unstructured {
	last := make(map[ObjectRef]int, len(objs))
	for i, obj := range objs {
		last[RefOf(obj).identity()] = i
	}
	var kept []*unstructured.Unstructured
	for i, obj := range objs {
		if obj.GetName() == "" || last[RefOf(obj).identity()] == i {
			kept = append(kept, obj)
		}
	}
	return kept
}
