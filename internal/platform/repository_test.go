package platform

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const checkoutFolder = "../.."

func TestRepository(t *testing.T) {
	p, err := Load(os.DirFS(checkoutFolder), checkoutFolder)
	require.NoError(t, err)
	require.NotEmpty(t, p.Layers)
	require.True(t, p.Layers[len(p.Layers)-1].HandOver, "the hand-over comes last")
	nodes := 0
	for _, pool := range p.Config.Cluster.Pools {
		nodes += pool.Count
	}
	require.Equal(t, 3, nodes)
}

// What platform.yaml leaves out here must mean the same to charts, which read the file and not the loader's defaults.
func TestRepositorySaysItAll(t *testing.T) {
	var file map[string]map[string]map[string]any
	text, err := os.ReadFile(checkoutFolder + "/" + ConfigFile)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &file))
	for _, key := range keys(source{}.platformFields(&Config{}, nil)) {
		require.Contains(t, file["global"]["platform"], key)
	}
}

// The schema that editors complete from has the loader's keys: no more, no less, the same ones required.
func TestSchemaKeys(t *testing.T) {
	s, c := source{}, &Config{}
	platform := "global platform"
	pools := platform + " cluster pools []"
	for path, fields := range map[string][]field{
		"":                       s.topFields(c, nil),
		"global":                 s.globalFields(c, nil),
		platform:                 s.platformFields(c, nil),
		platform + " git":        s.gitFields(&c.Git),
		platform + " kubernetes": s.kubernetesFields(&c.Kubernetes),
		platform + " cluster":    s.clusterFields(&c.Cluster),
		pools:                    s.poolFields(&Pool{}),
		pools + " taints []":     s.taintFields(&Taint{}),
	} {
		t.Run(path, func(t *testing.T) {
			at := schemaAt(t, strings.Fields(path))
			var properties, required, wantRequired []string
			for key := range at.Properties {
				properties = append(properties, key)
			}
			for _, f := range fields {
				if f.required {
					wantRequired = append(wantRequired, f.key)
				}
			}
			required = append(required, at.Required...)
			require.ElementsMatch(t, keys(fields), properties)
			require.ElementsMatch(t, wantRequired, required)
			require.Equal(t, false, at.AdditionalProperties)
			for key, property := range at.Properties {
				require.NotEmpty(t, property.Description, key)
			}
		})
	}
}

type schema struct {
	Description          string            `json:"description"`
	Properties           map[string]schema `json:"properties"`
	Items                *schema           `json:"items"`
	Required             []string          `json:"required"`
	AdditionalProperties any               `json:"additionalProperties"`
}

func schemaAt(t *testing.T, path []string) schema {
	t.Helper()
	text, err := os.ReadFile(checkoutFolder + "/platform.schema.json")
	require.NoError(t, err)
	var at schema
	require.NoError(t, json.Unmarshal(text, &at))
	for _, step := range path {
		if step == "[]" {
			require.NotNil(t, at.Items, path)
			at = *at.Items
			continue
		}
		require.Contains(t, at.Properties, step)
		at = at.Properties[step]
	}
	return at
}

// Schema and loader agree on what is right and what is wrong.
func TestSchemaAgrees(t *testing.T) {
	compiled, err := jsonschema.NewCompiler().Compile(checkoutFolder + "/platform.schema.json")
	require.NoError(t, err)
	for text, right := range map[string]bool{
		"global: {platform: {}}": true,
		"global: {platform: {name: a, domain: a.b, profile: ha, stacks: {observability: false}}}":    true,
		"global: {platform: {git: {url: '', revision: main}, kubernetes: {version: v1.37.2}}}":       true,
		"global: {platform: {kubernetes: {apiVersions: [v1, a/v1, a/v1/Kind]}}}":                     true,
		"global: {platform: {cluster: {pools: [{name: a, cpu: 2, memory: 4Gi, labels: {a: b}}]}}}":   true,
		"global: {platform: {cluster: {pools: [{name: a, taints: [{key: a, effect: NoExecute}]}]}}}": true,
		"global: {}":                                                              false,
		"global: {platform: {}, other: {}}":                                       false,
		"global: {platform: {domian: a}}":                                         false,
		"global: {platform: {name: A}}":                                           false,
		"global: {platform: {profile: big}}":                                      false,
		"global: {platform: {stacks: {observability: 'yes'}}}":                    false,
		"global: {platform: {kubernetes: {version: v1.37}}}":                      false,
		"global: {platform: {kubernetes: {apiVersions: [a/b/c/d]}}}":              false,
		"global: {platform: {cluster: {pools: []}}}":                              false,
		"global: {platform: {cluster: {pools: [{count: 1}]}}}":                    false,
		"global: {platform: {cluster: {pools: [{name: a, count: 0}]}}}":           false,
		"global: {platform: {cluster: {pools: [{name: a, cpu: fast}]}}}":          false,
		"global: {platform: {cluster: {pools: [{name: a, taints: [{key: a}]}]}}}": false,
	} {
		t.Run(text, func(t *testing.T) {
			var document any
			require.NoError(t, yaml.Unmarshal([]byte(text), &document))
			_, loaded := Load(checkout(map[string]string{ConfigFile: text}), "/somewhere")
			require.Equal(t, right, loaded == nil, "loader: %v", loaded)
			validated := compiled.Validate(document)
			require.Equal(t, right, validated == nil, "schema: %v", validated)
		})
	}
}
