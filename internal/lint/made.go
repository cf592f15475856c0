package lint

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"
)

//go:embed made.yaml
var madeYAML string

// maker says what comes of a custom resource, or is there in every cluster.
type maker struct {
	Group   string   `yaml:"group"`
	Kinds   []string `yaml:"kinds"`   // none: in every cluster
	Objects string   `yaml:"objects"` // Go template of a YAML list, given the object
}

// made are the objects that nobody renders and that others may select or refer to. A report on one is a report on its custom resource.
func (w *world) made() []*object {
	var makers []maker
	if err := yaml.Unmarshal([]byte(madeYAML), &makers); err != nil {
		panic(fmt.Sprintf("made.yaml: %v", err)) // it is part of the program
	}
	var list []*object
	for _, m := range makers {
		if len(m.Kinds) == 0 {
			list = append(list, m.make(&object{Object: &unstructured.Unstructured{Object: map[string]any{}}})...)
			continue
		}
		for _, o := range w.objects {
			if o.is(m.Group, m.Kinds...) {
				list = append(list, m.make(o)...)
			}
		}
	}
	return list
}

// make fills the template in. What comes of a custom resource that is itself wrong isn't known, so nothing is made of it.
func (m maker) make(of *object) []*object {
	var out bytes.Buffer
	objects := template.Must(template.New("objects").Option("missingkey=zero").Funcs(template.FuncMap{"json": asJSON, "after": after, "split": strings.Split, "parse": parsed}).Parse(m.Objects))
	data := map[string]any{"name": of.GetName(), "kind": of.GetKind(), "spec": map[string]any{}, "data": map[string]any{}}
	for _, field := range []string{"spec", "data"} {
		if content := nestedMap(of.Object.Object, field); content != nil {
			data[field] = content
		}
	}
	if err := objects.Execute(&out, data); err != nil {
		return nil
	}
	text, err := sigsyaml.YAMLToJSON(out.Bytes())
	if err != nil {
		return nil
	}
	var contents []map[string]any
	if err := json.Unmarshal(text, &contents); err != nil {
		return nil
	}
	var list []*object
	for _, content := range contents {
		o := &object{Object: &unstructured.Unstructured{Object: content}, component: of.component, namespace: of.namespace, made: true, from: of}
		if namespace := o.GetNamespace(); namespace != "" {
			o.namespace = namespace
		}
		list = append(list, o)
	}
	return list
}

// after is what follows a prefix, "" where there is none.
func after(prefix string, value any) string {
	text, _ := value.(string)
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return ""
	}
	return rest
}

// parsed is a mapping that is written as YAML in a text; an empty one for anything else.
func parsed(value any) map[string]any {
	content := map[string]any{}
	if text, ok := value.(string); ok {
		if err := sigsyaml.Unmarshal([]byte(text), &content); err != nil {
			return map[string]any{}
		}
	}
	return content
}

// asJSON writes a value into YAML, whatever it is.
func asJSON(value any) (string, error) {
	text, err := json.Marshal(value)
	return string(text), err
}
