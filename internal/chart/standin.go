package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// SimulatedAnnotation marks every object, and every pod, of a chart that an inventory stands in for.
const SimulatedAnnotation = "idp.dev/simulated"

// standInFormat is part of a stand-in's name in the cache: raise it whenever the same inventory would give another chart.
const standInFormat = "1"

// standIn makes the archive of a chart with the inventory's facts: the same workloads with their requests, priorities and
// placement, the same Services and CRDs. What it makes is kept in the cache, since a module's schemas take a while to read.
func (r *Resolver) standIn(ctx context.Context, facts Chart) ([]byte, error) {
	key, err := yaml.Marshal(facts)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(r.cache.dir, ".stand-ins", facts.Name+"-"+facts.Version+"-"+hashHex(append(key, standInFormat...))[:32]+".tgz")
	if data, ok := readKept(file); ok {
		return data, nil
	}
	data, complete, err := makeStandIn(ctx, facts, r.modules)
	if err != nil {
		return nil, fmt.Errorf("standing in for chart %s %s: %w", facts.Name, facts.Version, err)
	}
	if !complete {
		return data, nil // the module may be there next time
	}
	if err := errors.Join(writeWhole(file+sumExt, []byte(hashHex(data))), writeWhole(file, data)); err != nil {
		return nil, fmt.Errorf("keeping the stand-in for chart %s %s: %w", facts.Name, facts.Version, err)
	}
	return data, nil
}

// sumExt is the end of the name of a file that holds the digest of the file beside it.
const sumExt = ".sha256"

// readKept gives a stand-in that was kept, unless it was damaged since.
func readKept(file string) ([]byte, bool) {
	data, err := os.ReadFile(file)
	sum, missing := os.ReadFile(file + sumExt)
	return data, err == nil && missing == nil && hashHex(data) == string(sum)
}

// makeStandIn is false in complete where a module that ships CRDs couldn't be had.
func makeStandIn(ctx context.Context, facts Chart, modules modules) (data []byte, complete bool, err error) {
	crds, complete, err := standInCRDs(ctx, facts, modules)
	if err != nil {
		return nil, false, err
	}
	files := map[string][]byte{}
	meta, err := yaml.Marshal(map[string]any{
		"apiVersion": "v2", "name": facts.Name, "version": facts.Version, "appVersion": facts.AppVersion,
		"description": "Stands in for the chart of that name: simulated from an inventory",
		"annotations": map[string]any{SimulatedAnnotation: string(FromInventory)},
	})
	if err != nil {
		return nil, false, err
	}
	files["Chart.yaml"] = meta
	for name, crd := range crds {
		files["crds/"+name+".yaml"] = crd
	}
	for n, object := range facts.objects() {
		mark(object)
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, false, err
		}
		files[fmt.Sprintf("templates/%04d-%s.yaml", n, strings.ToLower(fmt.Sprint(object["kind"])))] = literal(text)
	}
	data, err = pack(facts.Name, files)
	return data, complete, err
}

// literal keeps Helm from reading anything in text as a template.
func literal(text []byte) []byte {
	return bytes.ReplaceAll(text, []byte("{{"), []byte("{{ `{{` }}"))
}

// mark names the object, and the pods it makes, simulated.
func mark(object map[string]any) {
	annotate(object)
	for _, place := range [][]string{{"spec", "template"}, {"spec", "jobTemplate"}, {"spec", "jobTemplate", "spec", "template"}} {
		if template := dig(object, place...); template != nil {
			annotate(template)
		}
	}
}

func annotate(object map[string]any) {
	meta := child(object, "metadata")
	child(meta, "annotations")[SimulatedAnnotation] = string(FromInventory)
}

// dig gives the map at that place, nil where there is none.
func dig(object map[string]any, place ...string) map[string]any {
	for _, name := range place {
		object, _ = object[name].(map[string]any)
	}
	return object
}

// child gives the map of that name, making it where there is none.
func child(object map[string]any, name string) map[string]any {
	next, ok := object[name].(map[string]any)
	if !ok {
		next = map[string]any{}
		object[name] = next
	}
	return next
}

// standInCRDs gives the CRDs by name: with the schemas of the pinned module, or minimal ones that accept anything.
func standInCRDs(ctx context.Context, facts Chart, modules modules) (map[string][]byte, bool, error) {
	shipped, complete := map[string]map[string]any{}, true
	if facts.Module != nil {
		var err error
		shipped, err = modules.crds(ctx, *facts.Module)
		var missing *moduleError
		if errors.As(err, &missing) && ctx.Err() == nil {
			complete = false
		} else if err != nil {
			return nil, false, err
		}
	}
	crds := map[string][]byte{}
	for _, crd := range facts.CRDs {
		object, ok := shipped[crd.Name]
		if !ok {
			object = crd.minimal()
		}
		mark(object)
		text, err := yaml.Marshal(object)
		if err != nil {
			return nil, false, err
		}
		crds[crd.Name] = text
	}
	return crds, complete, nil
}

// crds gives the CRDs that a module ships, by name.
func (m modules) crds(ctx context.Context, module Module) (map[string]map[string]any, error) {
	files, err := m.files(ctx, &module)
	if err != nil {
		return nil, err
	}
	found := map[string]map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		objects, err := parseObjects(files[name])
		if err != nil {
			return nil, fmt.Errorf("reading %s of Go module %s@%s: %w", name, module.Path, module.Version, err)
		}
		for _, object := range objects {
			if object["kind"] == "CustomResourceDefinition" {
				found[nameOf(object)] = object
			}
		}
	}
	return found, nil
}

// minimal is the CRD with a schema that keeps every field.
func (c CRD) minimal() map[string]any {
	versions := make([]any, 0, len(c.Versions))
	for _, v := range c.Versions {
		version := map[string]any{
			"name": v.Name, "served": v.Served, "storage": v.Storage,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
		}
		if v.Status {
			version["subresources"] = map[string]any{"status": map[string]any{}}
		}
		versions = append(versions, version)
	}
	names := map[string]any{"kind": c.Kind, "plural": c.Plural}
	setUnless(names, "listKind", c.ListKind)
	setUnless(names, "singular", c.Singular)
	if len(c.ShortNames) > 0 {
		names["shortNames"] = c.ShortNames
	}
	if len(c.Categories) > 0 {
		names["categories"] = c.Categories
	}
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": c.Name},
		"spec":     map[string]any{"group": c.Group, "scope": c.Scope, "names": names, "versions": versions},
	}
}

func setUnless(object map[string]any, key, value string) {
	if value != "" {
		object[key] = value
	}
}

// pack makes a chart archive whose bytes depend on nothing but its files.
func pack(name string, files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(zipped)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(files[file])), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(files[file]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
