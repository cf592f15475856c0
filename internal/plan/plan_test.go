package plan

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/platform"
)

func object(kind, name string, more map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	for k, v := range more {
		o.Object[k] = v
	}
	o.SetName(name)
	return o
}

func steps() []bootstrap.Step {
	return []bootstrap.Step{
		{
			Layer:   platform.Layer{Component: platform.Component{Name: "base", App: "base", Namespace: "one", Path: "IT/base"}, Timeout: time.Minute},
			Objects: []*unstructured.Unstructured{object("ConfigMap", "a", map[string]any{"data": map[string]any{"k": "v"}})},
			Key:     "base-1",
		},
		{
			Layer: platform.Layer{
				Component: platform.Component{Name: "top", App: "top", Namespace: "two", Path: "IT/top"}, Needs: []string{"base"}, HandOver: true,
				Gates: []platform.Gate{{DryRun: map[string]any{"kind": "Issuer"}}, {Seeded: &platform.Secrets{Server: platform.SecretServer{Port: 8200}}}},
			},
			Objects: []*unstructured.Unstructured{object("CustomResourceDefinition", "b", map[string]any{"spec": map[string]any{
				"group": "g", "versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "schema": map[string]any{"big": "one"}}},
			}})},
			Key: "top-1",
		},
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	dir := t.TempDir()
	definitions := []*unstructured.Unstructured{object("CustomResourceDefinition", "c", nil)}
	require.NoError(t, Write(dir, Index{Cluster: Cluster{Kubernetes: "v1.37.2", Nodes: []Node{{Name: "a"}}}, Applications: []string{"base"}}, steps(), definitions))

	index, err := ReadIndex(dir)
	require.NoError(t, err)
	require.Equal(t, []Layer{
		{Name: "base", Key: "base-1", File: "layers/base.json", Timeout: time.Minute},
		{Name: "top", Needs: []string{"base"}, Key: "top-1", File: "layers/top.json", HandOver: true},
	}, index.Layers)
	cluster, err := ReadCluster(filepath.Join(dir, "cluster.json"))
	require.NoError(t, err)
	require.Equal(t, index.Cluster, cluster)
	require.Equal(t, "v1.37.2", cluster.Kubernetes)
	top, err := ReadLayer(filepath.Join(dir, "layers/top.json"))
	require.NoError(t, err)
	require.Equal(t, steps()[1], top.Step)
	require.Equal(t, map[string]string{"base": "base-1"}, top.Needed)
	all, err := ReadSteps(dir)
	require.NoError(t, err)
	require.Len(t, all, 2)
	read, err := ReadDefinitions(filepath.Join(dir, "definitions.json"))
	require.NoError(t, err)
	require.Equal(t, definitions, read)
}

// Results are kept by what went into them: a change of one layer must not change the files that others are brought up from.
func TestALayersFileSaysNothingOfOthers(t *testing.T) {
	files := func(change func([]bootstrap.Step)) map[string]string {
		dir := t.TempDir()
		changed := steps()
		change(changed)
		require.NoError(t, Write(dir, Index{}, changed, nil))
		found := map[string]string{}
		for _, name := range []string{"layers/base.json", "layers/top.json", "objects.json"} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			found[name] = string(content)
		}
		return found
	}
	before := files(func([]bootstrap.Step) {})
	after := files(func(s []bootstrap.Step) {
		s[1].Key = "top-2"
		s[1].Objects[0].Object["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)["schema"] = "another"
	})
	require.Equal(t, before["layers/base.json"], after["layers/base.json"])
	require.NotEqual(t, before["layers/top.json"], after["layers/top.json"])
	require.Equal(t, before["objects.json"], after["objects.json"], "the same objects are there")

	moved := files(func(s []bootstrap.Step) {
		s[0].Layer.Gates = []platform.Gate{{Established: []string{"x"}, Line: 7}}
	})
	again := files(func(s []bootstrap.Step) {
		s[0].Layer.Gates = []platform.Gate{{Established: []string{"x"}, Line: 9}}
		s[0].Layer.Chart.Version = "0.1.1"
	})
	require.Equal(t, moved, again, "where something stands, and the number on the chart, bring up nothing")
}

func TestOutline(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, Write(dir, Index{}, steps(), nil))
	others, err := ReadOutline(filepath.Join(dir, "objects.json"), "base")
	require.NoError(t, err)
	require.Len(t, others, 1)
	require.Equal(t, "two", others[0].Layer.Namespace)
	require.Equal(t, map[string]any{
		"apiVersion": "v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "b"},
		"spec": map[string]any{"group": "g", "versions": []any{map[string]any{"name": "v1", "served": true, "storage": true}}},
	}, others[0].Objects[0].Object)
}

func TestWrongFiles(t *testing.T) {
	dir := t.TempDir()
	_, err := ReadIndex(dir)
	require.ErrorContains(t, err, "idp layers plan")
	file := filepath.Join(dir, "x.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	_, err = ReadLayer(file)
	require.ErrorContains(t, err, "x.json: not a file of a plan: it names no layer")
	require.NoError(t, os.WriteFile(file, []byte("["), 0o600))
	_, err = ReadLayer(file)
	require.ErrorContains(t, err, "x.json: not a file of a plan")
}
