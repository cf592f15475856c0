// Package plan is a platform, rendered, as files: all that can be known before there is a cluster, in pieces that change only when
// what they say does. Whoever brings layers up one by one, and keeps results by what went into them, works from it.
package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/platform"
)

// The files of a plan's folder, beside the layers' own.
const (
	indexFile       = "plan.json"
	outlineFile     = "objects.json"
	definitionsFile = "definitions.json"
	clusterFile     = "cluster.json"
	// StagedFolder is what Argo CD reads: the checkout's platform with its charts.
	StagedFolder = "staged"
)

// ErrNotPlan is what a file that isn't one of a plan's is refused with.
var ErrNotPlan = errors.New("not a file of a plan")

// Cluster is cluster.json: the cluster that the platform wants. It stands alone since a cluster goes on while layers change.
type Cluster struct {
	Kubernetes string `json:"kubernetes"` // version that charts were rendered for
	Nodes      []Node `json:"nodes"`
}

// Index is plan.json: what the platform consists of.
type Index struct {
	Cluster
	Layers       []Layer           `json:"layers"` // in boot order
	HandOver     string            `json:"handOver,omitempty"`
	Namespace    string            `json:"namespace,omitempty"` // of Argo CD
	Applications []string          `json:"applications"`        // that Argo CD ends up with
	Sources      map[string]string `json:"sources"`             // Application → where its charts came from
}

// Node is a node that the platform wants.
type Node struct {
	Name   string            `json:"name"`
	Pool   string            `json:"pool"`
	CPU    string            `json:"cpu"`    // a Kubernetes quantity
	Memory string            `json:"memory"` // a Kubernetes quantity
	Labels map[string]string `json:"labels,omitempty"`
	Taints []Taint           `json:"taints,omitempty"`
}

// Taint is a node taint.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

// Layer is one layer of the index.
type Layer struct {
	Name     string        `json:"name"`
	Needs    []string      `json:"needs,omitempty"`
	Key      string        `json:"key"`
	File     string        `json:"file"` // relative to the plan's folder
	Timeout  time.Duration `json:"timeout"`
	HandOver bool          `json:"handOver,omitempty"`
}

// layerFile is one layer with all that goes into bringing it up, and nothing else.
type layerFile struct {
	Layer   platform.Layer               `json:"layer"`
	Key     string                       `json:"key"`
	Needed  map[string]string            `json:"needed,omitempty"` // keys of the layers it needs
	Objects []*unstructured.Unstructured `json:"objects"`
}

// outlined is a layer of objects.json.
type outlined struct {
	Namespace string                       `json:"namespace"`
	Objects   []*unstructured.Unstructured `json:"objects"`
}

// Write makes the files of a plan in dir.
func Write(dir string, index Index, steps []bootstrap.Step, definitions []*unstructured.Unstructured) error {
	keys := map[string]string{}
	outline := map[string]outlined{}
	var failed []error
	for _, s := range steps {
		keys[s.Layer.Name] = s.Key
		file := layerFile{Layer: plain(s.Layer), Key: s.Key, Needed: map[string]string{}, Objects: s.Objects}
		for _, need := range s.Layer.Needs {
			file.Needed[need] = keys[need]
		}
		at := "layers/" + s.Layer.Name + ".json"
		index.Layers = append(index.Layers, Layer{
			Name: s.Layer.Name, Needs: s.Layer.Needs, Key: s.Key, File: at, Timeout: s.Layer.Timeout, HandOver: s.Layer.HandOver,
		})
		named := outlined{Namespace: s.Layer.Namespace}
		for _, o := range s.Objects {
			named.Objects = append(named.Objects, nameOnly(o))
		}
		outline[s.Layer.Name] = named
		failed = append(failed, write(dir, at, file))
	}
	failed = append(failed, write(dir, outlineFile, outline), write(dir, definitionsFile, definitions), write(dir, clusterFile, index.Cluster), write(dir, indexFile, index))
	return errors.Join(failed...)
}

// plain is the layer without what says where it was read, and without its chart's version: neither changes what is brought up.
func plain(l platform.Layer) platform.Layer {
	l.Chart = platform.ChartFile{}
	gates := make([]platform.Gate, len(l.Gates))
	for i, g := range l.Gates {
		g.Line = 0
		gates[i] = g
	}
	l.Gates = gates
	return l
}

// nameOnly is as much of an object as tells which it is, and of a definition which kinds it brings.
func nameOnly(o *unstructured.Unstructured) *unstructured.Unstructured {
	named := &unstructured.Unstructured{Object: map[string]any{}}
	named.SetGroupVersionKind(o.GroupVersionKind())
	named.SetNamespace(o.GetNamespace())
	named.SetName(o.GetName())
	named.SetAnnotations(o.GetAnnotations())
	for _, field := range [][]string{{"spec", "group"}, {"spec", "scope"}, {"spec", "names"}} {
		if value, ok, _ := unstructured.NestedFieldCopy(o.Object, field...); ok && o.GetKind() == "CustomResourceDefinition" {
			_ = unstructured.SetNestedField(named.Object, value, field...) // the parents are maps
		}
	}
	if versions := versionsOf(o); len(versions) > 0 {
		_ = unstructured.SetNestedSlice(named.Object, versions, "spec", "versions")
	}
	return named
}

// versionsOf are the versions of a definition without their schemas; of anything else none.
func versionsOf(o *unstructured.Unstructured) []any {
	var versions []any
	if o.GetKind() != "CustomResourceDefinition" {
		return nil
	}
	full, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
	for _, v := range full {
		if version, ok := v.(map[string]any); ok {
			versions = append(versions, map[string]any{"name": version["name"], "served": version["served"], "storage": version["storage"]})
		}
	}
	return versions
}

// ReadIndex reads plan.json.
func ReadIndex(dir string) (Index, error) {
	var index Index
	return index, read(filepath.Join(dir, indexFile), &index)
}

// ReadCluster reads a file like cluster.json.
func ReadCluster(file string) (Cluster, error) {
	var c Cluster
	if err := read(file, &c); err != nil {
		return c, err
	}
	if len(c.Nodes) == 0 {
		return c, fmt.Errorf("%s: %w: it names no nodes", file, ErrNotPlan)
	}
	return c, nil
}

// ReadSteps reads all layers, in boot order.
func ReadSteps(dir string) ([]bootstrap.Step, error) {
	index, err := ReadIndex(dir)
	if err != nil {
		return nil, err
	}
	var steps []bootstrap.Step
	for _, l := range index.Layers {
		one, err := ReadLayer(filepath.Join(dir, filepath.FromSlash(l.File)))
		if err != nil {
			return nil, err
		}
		steps = append(steps, one.Step)
	}
	return steps, nil
}

// ReadLayer reads a layer's own file.
func ReadLayer(file string) (bootstrap.Single, error) {
	var content layerFile
	if err := read(file, &content); err != nil {
		return bootstrap.Single{}, err
	}
	if content.Layer.Name == "" || content.Key == "" {
		return bootstrap.Single{}, fmt.Errorf("%s: %w: it names no layer", file, ErrNotPlan)
	}
	return bootstrap.Single{
		Step:   bootstrap.Step{Layer: content.Layer, Objects: content.Objects, Key: content.Key},
		Needed: content.Needed,
	}, nil
}

// ReadOutline reads which objects the layers other than but have.
func ReadOutline(file, but string) ([]bootstrap.Step, error) {
	outline := map[string]outlined{}
	if err := read(file, &outline); err != nil {
		return nil, err
	}
	var steps []bootstrap.Step
	for name, l := range outline {
		if name != but {
			at := platform.Component{Name: name, Namespace: l.Namespace}
			steps = append(steps, bootstrap.Step{Layer: platform.Layer{Component: at}, Objects: l.Objects})
		}
	}
	return steps, nil
}

// ReadDefinitions reads the definitions that the stacks bring.
func ReadDefinitions(file string) ([]*unstructured.Unstructured, error) {
	var definitions []*unstructured.Unstructured
	return definitions, read(file, &definitions)
}

func write(dir, name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s of the plan: %w", name, err)
	}
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func read(file string, value any) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: there is no such file; `idp layers plan DIR` makes them", file, ErrNotPlan)
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w: %w", file, ErrNotPlan, err)
	}
	return nil
}
