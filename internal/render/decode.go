package render

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

func plain(objects []Object) []map[string]any {
	list := make([]map[string]any, 0, len(objects))
	for _, o := range objects {
		list = append(list, o.Object)
	}
	return list
}

// decode reads what was encoded of plain, with whole numbers as int64 as everywhere in unstructured objects.
func decode(payload []byte) ([]Object, error) {
	var list []any
	if err := json.Unmarshal(payload, &list); err != nil {
		return nil, err
	}
	objects := make([]Object, 0, len(list))
	for _, item := range list {
		content, ok := item.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("an object is a %T", item)
		}
		objects = append(objects, &unstructured.Unstructured{Object: content})
	}
	return objects, nil
}
