package simulator

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"k8s.io/apimachinery/pkg/util/json"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

//go:embed effects/*.yaml
var effectsFS embed.FS

// effect says what a controller that doesn't run would do for the objects of one kind: a status, and objects.
type effect struct {
	// Resource is plural.group, for a custom resource the name of its definition.
	Resource string `json:"resource"`
	// Version is the version to read objects in. Empty: the stored one.
	Version string `json:"version,omitempty"`
	// BuiltIn says that the kind needs no definition; Version is then required.
	BuiltIn bool `json:"builtIn,omitempty"`
	// Part names the controller that is played, as the status lists it.
	Part string `json:"part"`
	// Template renders an outcome as YAML from the object, with sprig's functions and those of env.funcs.
	Template string `json:"template"`

	parsed *template.Template
}

// group is the API group of the effect's resource.
func (e *effect) group() string {
	_, group, _ := strings.Cut(e.Resource, ".")
	return group
}

// plural is the resource's name without its group.
func (e *effect) plural() string {
	plural, _, _ := strings.Cut(e.Resource, ".")
	return plural
}

// outcome is what an effect's template renders to. Both parts may be empty.
type outcome struct {
	// Status is laid over the object's status, key by key. Conditions anywhere in it get a message that says "simulated" and
	// keep their transition time while their status stays.
	Status map[string]any `json:"status,omitempty"`
	// Objects are applied; Owned ones go with the object they were made for.
	Objects []made `json:"objects,omitempty"`
}

// made is one object that a controller would have made.
type made struct {
	Owned bool `json:"owned,omitempty"`
	// Merged says that the object is another's and only gets these fields beside its own; what its owner says of it stays.
	Merged bool           `json:"merged,omitempty"`
	Object map[string]any `json:"object"`
}

// env is what templates may ask of the outside.
type env interface {
	// Lookup returns an object, or nil when there is none.
	Lookup(apiVersion, kind, namespace, name string) (map[string]any, error)
	// Namespaces are the names of the namespaces with these labels.
	Namespaces(labels map[string]any) ([]string, error)
	// Certificate makes or keeps the key pair of a cert-manager Certificate.
	Certificate(cert, issuer map[string]any) (map[string]any, error)
	// Sign answers a cert-manager CertificateRequest.
	Sign(request, issuer map[string]any) (map[string]any, error)
	// SecretData makes or keeps the values of an ExternalSecret's Secret, base64-encoded.
	SecretData(external map[string]any) (map[string]any, error)
	// Again asks to be called again soon: something that the effect waits for isn't there yet.
	Again()
	// Now is the current time in RFC 3339.
	Now() string
}

// loadEffects reads every effect of a folder.
func loadEffects(fsys fs.FS, dir string) ([]*effect, error) {
	names, err := fs.Glob(fsys, dir+"/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the effects: %w", err)
	}
	slices.Sort(names)
	var out []*effect
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read the effects: %w", err)
		}
		var list []*effect
		if err := yaml.UnmarshalStrict(data, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for i, e := range list {
			if e.Resource == "" || e.Part == "" || e.BuiltIn && e.Version == "" {
				return nil, fmt.Errorf("%s: effect %d (%s) needs resource, part and, for a built-in kind, version", name, i, e.Resource)
			}
			if e.parsed, err = template.New(e.Resource).Funcs(sprig.TxtFuncMap()).Funcs(funcs(nil, nil)).Parse(e.Template); err != nil {
				return nil, fmt.Errorf("%s: effect on %s: %w", name, e.Resource, err)
			}
		}
		out = append(out, list...)
	}
	return out, nil
}

// funcs are the functions of templates beside sprig's. With a nil env they only tell the parser their names.
func funcs(e env, object map[string]any) template.FuncMap {
	out := template.FuncMap{
		"toYaml": func(v any) (string, error) {
			data, err := json.Marshal(v) // JSON is YAML, and needs no indentation
			return string(data), err
		},
		// condition renders one condition: type, status, reason and, if given, a message.
		"condition": func(kind string, status any, reason string, message ...string) (string, error) {
			return renderCondition(nil, kind, status, reason, message)
		},
		// observed is condition with the object's generation, as Gateway API has it.
		"observed": func(kind string, status any, reason string, message ...string) (string, error) {
			return renderCondition(object, kind, status, reason, message)
		},
		// isTrue reports whether an object has a condition of that type that is true.
		"isTrue": isTrue,
	}
	for _, name := range []string{"lookup", "namespaces", "certificate", "sign", "secretData", "again", "now"} {
		out[name] = func() string { return "" }
	}
	if e == nil {
		return out
	}
	out["lookup"] = e.Lookup
	out["namespaces"] = e.Namespaces
	out["certificate"] = e.Certificate
	out["sign"] = e.Sign
	out["secretData"] = e.SecretData
	out["now"] = e.Now
	out["again"] = func() string {
		e.Again()
		return ""
	}
	return out
}

func renderCondition(object map[string]any, kind string, status any, reason string, message []string) (string, error) {
	c := map[string]any{"type": kind, "status": status, "reason": reason}
	if b, ok := status.(bool); ok {
		c["status"] = map[bool]string{true: "True", false: "False"}[b]
	}
	if len(message) > 0 {
		c["message"] = message[0]
	}
	if meta, ok := object["metadata"].(map[string]any); ok && meta["generation"] != nil {
		c["observedGeneration"] = meta["generation"]
	}
	data, err := json.Marshal(c)
	return string(data), err
}

func isTrue(kind string, object map[string]any) bool {
	status, _ := object["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == kind {
			return c["status"] == "True"
		}
	}
	return false
}

// Render works out what the controller would do for an object. The object isn't changed.
func (e *effect) Render(object map[string]any, env env) (outcome, error) {
	var out outcome
	view := withMaps(object)
	t, err := e.parsed.Clone()
	if err != nil {
		return out, fmt.Errorf("effect on %s: %w", e.Resource, err)
	}
	var text bytes.Buffer
	if err := t.Funcs(funcs(env, view)).Execute(&text, view); err != nil {
		return out, fmt.Errorf("effect on %s: %w", e.Resource, err)
	}
	data, err := yaml.YAMLToJSONStrict(text.Bytes())
	if err != nil {
		return out, fmt.Errorf("effect on %s: rendered YAML: %w", e.Resource, err)
	}
	if strict, err := kjson.UnmarshalStrict(data, &out); err != nil {
		return out, fmt.Errorf("effect on %s: rendered YAML: %w", e.Resource, err)
	} else if len(strict) > 0 {
		return out, fmt.Errorf("effect on %s: rendered YAML: %w", e.Resource, strict[0])
	}
	old, _ := object["status"].(map[string]any)
	finishConditions(out.Status, old, env.Now())
	for i := range out.Objects {
		if !out.Objects[i].Merged {
			mark(out.Objects[i].Object, e.Part)
		}
	}
	return out, nil
}

// withMaps gives templates the maps they dereference, present or not.
func withMaps(object map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range object {
		out[k] = v
	}
	for _, k := range []string{"metadata", "spec", "status"} {
		if out[k] == nil {
			out[k] = map[string]any{}
		}
	}
	return out
}

// mark annotates an object as simulated.
func mark(object map[string]any, part string) {
	meta, ok := object["metadata"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		object["metadata"] = meta
	}
	notes, ok := meta["annotations"].(map[string]any)
	if !ok {
		notes = map[string]any{}
		meta["annotations"] = notes
	}
	notes[Annotation] = part
}

// simulatedCondition is the type of a condition that marks the list it stands in, where a message has to be word for word that
// of the real controller.
const simulatedCondition = "idp.dev/Simulated"

// finishConditions walks a rendered status beside the live one and completes its conditions: "simulated" in every message, and
// the time of the last transition.
func finishConditions(status, live any, now string) {
	switch s := status.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for k, v := range s {
			if list, ok := v.([]any); ok && k == "conditions" {
				liveList, _ := l[k].([]any)
				exact := slices.ContainsFunc(list, func(c any) bool {
					m, ok := c.(map[string]any)
					return ok && m["type"] == simulatedCondition
				})
				for _, c := range list {
					if c, ok := c.(map[string]any); ok {
						finishCondition(c, liveList, now, exact)
					}
				}
				continue
			}
			finishConditions(v, l[k], now)
		}
	case []any:
		l, _ := live.([]any)
		for i, v := range s {
			var old any
			if i < len(l) {
				old = l[i]
			}
			finishConditions(v, old, now)
		}
	}
}

func finishCondition(c map[string]any, live []any, now string, exact bool) {
	message, _ := c["message"].(string)
	switch {
	case exact && message != "":
	case message == "":
		c["message"] = "simulated"
	case !strings.Contains(message, "simulated"):
		c["message"] = "simulated: " + message
	}
	if c["lastTransitionTime"] != nil {
		return
	}
	c["lastTransitionTime"] = now
	for _, o := range live {
		old, ok := o.(map[string]any)
		if ok && old["type"] == c["type"] && old["status"] == c["status"] && old["lastTransitionTime"] != nil {
			c["lastTransitionTime"] = old["lastTransitionTime"]
		}
	}
}
