package render

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// entity is what the portal's catalog says of one part of the platform.
type entity struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Description string            `json:"description"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Type      string   `json:"type"`
		Owner     string   `json:"owner"`
		System    string   `json:"system"`
		Domain    string   `json:"domain"`
		DependsOn []string `json:"dependsOn"`
	} `json:"spec"`
}

// Every component of the platform has an entity in the portal's catalog, and every reference among the entities leads somewhere.
func TestCatalog(t *testing.T) {
	files, err := filepath.Glob("../../K8s/portal/backstage/catalog/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var entities []entity
	known := map[string]bool{}
	described := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, document := range bytes.Split(text, []byte("\n---\n")) {
			var e entity
			require.NoError(t, yaml.Unmarshal(document, &e), file)
			require.NotEmpty(t, e.Metadata.Description, "%s: %s", file, e.Metadata.Name)
			ref := strings.ToLower(e.Kind) + ":" + e.Metadata.Name
			require.False(t, known[ref], "%s is in the catalog twice", ref)
			known[ref] = true
			entities = append(entities, e)
			if path := e.Metadata.Annotations["idp.dev/component"]; path != "" {
				require.False(t, described[path], "%s has two entities", path)
				described[path] = true
			}
		}
	}
	for _, e := range entities {
		refs := e.Spec.DependsOn
		if e.Spec.Owner != "" {
			refs = append(refs, strings.Replace(e.Spec.Owner, "default/", "", 1))
		}
		if e.Spec.System != "" {
			refs = append(refs, "system:"+e.Spec.System)
		}
		if e.Spec.Domain != "" {
			refs = append(refs, "domain:"+e.Spec.Domain)
		}
		for _, ref := range refs {
			require.True(t, known[ref], "%s %s refers to %s, which isn't in the catalog", e.Kind, e.Metadata.Name, ref)
		}
	}
	for _, pattern := range []string{"IT/*", "K8s/*/*", "Policies/*"} {
		charts, err := filepath.Glob("../../" + pattern + "/Chart.yaml")
		require.NoError(t, err)
		for _, chart := range charts {
			path := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(chart), "../../"))
			require.True(t, described[path], "%s has no entity in K8s/portal/backstage/catalog", path)
		}
	}
}
