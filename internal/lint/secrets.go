package lint

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/idp-blueprint/idp/internal/platform"
)

// Secrets is what is seeded into the store: which keys there are, by path.
type Secrets interface {
	Paths() []string
	Keys(path string) []string // nil for a path that isn't seeded
}

// SecretsFile lists what is seeded.
const SecretsFile = "IT/vault/secrets.yaml"

// seeded is what SecretsFile says.
type seeded map[string][]string

func (s seeded) Paths() []string           { return slices.Sorted(maps.Keys(s)) }
func (s seeded) Keys(path string) []string { return s[path] }

// ReadSecrets reads SecretsFile: just its paths and the names of their keys, the rest is for the one who seeds. The error is
// fs.ErrNotExist where there is no such file.
func ReadSecrets(fsys fs.FS) (Secrets, error) {
	data, err := fs.ReadFile(fsys, SecretsFile)
	if err != nil {
		return nil, err
	}
	var file struct {
		Paths []struct {
			Path string               `yaml:"path"`
			Keys map[string]yaml.Node `yaml:"keys"`
		} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		return nil, &platform.InputError{File: SecretsFile, Msg: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	s := seeded{}
	for _, p := range file.Paths {
		s[p.Path] = slices.Sorted(maps.Keys(p.Keys))
	}
	return s, nil
}

const secretsGroup = "external-secrets.io"

// secretStore: an ExternalSecret without its store never becomes a Secret, and the pods that mount it never start.
func secretStore(w *world, report report) {
	for _, o := range w.objects {
		if !o.is(secretsGroup, "ExternalSecret", "PushSecret") {
			continue
		}
		refs := o.list("spec", "secretStoreRefs")
		if ref := nestedMap(o.Object.Object, "spec", "secretStoreRef"); ref != nil {
			refs = append(refs, ref)
		}
		for _, ref := range refs {
			kind, name := textOr(nestedText(ref, "kind"), "SecretStore"), nestedText(ref, "name")
			namespace := o.namespace
			if kind == "ClusterSecretStore" {
				namespace = ""
			}
			if w.find(secretsGroup, kind, namespace, name) == nil {
				report(o, fmt.Sprintf("nothing makes its store, the %s %s", kind, name), "make the store in its namespace"+near(name, w.names(namespace, secretsGroup, kind)))
			}
		}
	}
}

// secretKey: a path or key that nobody seeds leaves the Secret unmade, and the pods that mount it don't start.
func secretKey(w *world, report report) {
	if w.secrets == nil {
		return
	}
	for _, o := range w.objects {
		if !o.is(secretsGroup, "ExternalSecret") {
			continue
		}
		for _, data := range o.list("spec", "data") {
			w.wantKey(o, nestedMap(data, "remoteRef"), report)
		}
		for _, from := range o.list("spec", "dataFrom") {
			if extract := nestedMap(from, "extract"); extract != nil {
				w.wantKey(o, extract, report)
			}
		}
	}
}

func (w *world) wantKey(o *object, ref map[string]any, report report) {
	path, key := nestedText(ref, "key"), nestedText(ref, "property")
	keys := w.secrets.Keys(path)
	if keys == nil {
		report(o, fmt.Sprintf("nothing seeds the path %q", path), "list it in "+SecretsFile+near(path, w.secrets.Paths()))
		return
	}
	if key != "" && !slices.Contains(keys, key) {
		report(o, fmt.Sprintf("the path %q is seeded without the key %q", path, key), "list it in "+SecretsFile+near(key, keys))
	}
}
