package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

const goodConfig = `global:
  platform:
    name: demo
    stacks:
      observability: true
`

const goodLayers = `- name: namespaces
  namespace: default
- name: cilium
  namespace: kube-system
  needs: [namespaces]
`

func chartFile(name string) string {
	return fmt.Sprintf("apiVersion: v2\nname: %s\nversion: 0.1.0\n", name)
}

// checkout is a good one; edits replace files, and remove those whose text is empty.
func checkout(edits map[string]string) fstest.MapFS {
	files := map[string]string{
		"platform.yaml":                     goodConfig,
		"IT/layers.yaml":                    goodLayers,
		"IT/namespaces/Chart.yaml":          chartFile("namespaces"),
		"IT/cilium/Chart.yaml":              chartFile("cilium"),
		"K8s/observability/loki/Chart.yaml": chartFile("loki"),
	}
	for name, text := range edits {
		files[name] = text
	}
	fsys := fstest.MapFS{}
	for name, text := range files {
		if text != "" {
			fsys[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return fsys
}

func TestLoad(t *testing.T) {
	p, err := Load(checkout(map[string]string{
		"platform.yaml": `global:
  platform:
    name: acme
    domain: acme.example
    profile: ha
    git: {url: "https://git.example/p.git", revision: v1}
    kubernetes: {version: v1.36.0, apiVersions: [cert-manager.io/v1]}
    cluster:
      pools:
        - {name: infra, count: 2, cpu: 500m, memory: 1Gi, labels: {a: b}, taints: [{key: k, effect: NoExecute}]}
    stacks: {observability: false}
`,
		"IT/layers.yaml": `- name: cilium
  namespace: kube-system
  needs: [namespaces]
  timeout: 90s
  gates:
    - established: [a.b.io]
    - condition: {apiVersion: apps/v1, kind: Deployment, namespace: n, name: d, type: Available}
    - every: {apiVersion: apps/v1, kind: Deployment, type: Available}
    - dryRun: {apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {n: 1, l: [true, 1.5, null]}}
- name: namespaces
  namespace: default
`,
		"IT/cilium/Chart.yaml": `apiVersion: v2
name: cilium
version: 0.1.0
appVersion: "1.20"
dependencies:
  - name: cilium
    version: v1.20.2
    repository: https://helm.cilium.io
    alias: net
    condition: net.enabled
`,
		"Policies/baseline/Chart.yaml": chartFile("baseline"),
	}), "/somewhere")
	require.NoError(t, err)
	require.Equal(t, "/somewhere", p.Root)
	require.Equal(t, Config{
		Name: "acme", Domain: "acme.example", Profile: "ha",
		Git:        Git{URL: "https://git.example/p.git", Revision: "v1"},
		Kubernetes: Kubernetes{Version: "v1.36.0", APIVersions: []string{"cert-manager.io/v1"}},
		Cluster: Cluster{Pools: []Pool{{Name: "infra", Count: 2, CPU: "500m", Memory: "1Gi",
			Labels: map[string]string{"a": "b"}, Taints: []Taint{{Key: "k", Effect: "NoExecute"}}}}},
		Stacks: map[string]bool{"observability": false},
	}, p.Config)
	require.Equal(t, []string{"namespaces", "cilium"}, layerNames(p.Layers))
	require.Equal(t, Layer{
		Component: Component{Name: "cilium", App: "cilium", Namespace: "kube-system", Path: "IT/cilium", Chart: ChartFile{
			Name: "cilium", Version: "0.1.0", AppVersion: "1.20",
			Dependencies: []Dependency{{Name: "cilium", Version: "v1.20.2", Repository: "https://helm.cilium.io", Alias: "net", Condition: "net.enabled", Line: 6}},
		}},
		Needs:   []string{"namespaces"},
		Timeout: 90 * time.Second,
		Gates: []Gate{
			{Established: []string{"a.b.io"}, Line: 6},
			{Condition: &Condition{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "n", Name: "d", Type: "Available", Status: "True"}, Line: 7},
			{Every: &Condition{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "kube-system", Type: "Available", Status: "True"}, Line: 8},
			{DryRun: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"},
				"data": map[string]any{"n": int64(1), "l": []any{true, 1.5, nil}}}, Line: 9},
		},
	}, p.Layers[1])
	require.Equal(t, 5*time.Minute, p.Layers[0].Timeout)
	require.Equal(t, []string{"namespaces", "cilium", "policies-baseline"}, apps(p.Components()))
	require.Equal(t, []bool{false, true}, []bool{p.Stacks[0].Enabled, p.Stacks[1].Enabled})
	require.Equal(t, "policies", p.Stacks[1].Namespace)
	require.Equal(t, "Policies/baseline", p.Stacks[1].Components[0].Path)
	off, found := p.Component("observability-loki")
	require.True(t, found)
	require.Equal(t, "K8s/observability/loki", off.Path)
}

func TestLoadDefaults(t *testing.T) {
	p, err := Load(checkout(map[string]string{"platform.yaml": "global:\n  platform:\n    name:\n"}), ".")
	require.NoError(t, err)
	require.Equal(t, "idp", p.Config.Name)
	require.Equal(t, "idp.localhost", p.Config.Domain)
	require.Equal(t, "demo", p.Config.Profile)
	require.Equal(t, Git{Revision: "main"}, p.Config.Git)
	require.Len(t, p.Config.Cluster.Pools, 3)
	for _, pool := range p.Config.Cluster.Pools {
		require.Equal(t, 1, pool.Count)
		require.Equal(t, "2", pool.CPU)
		require.Equal(t, "4Gi", pool.Memory)
	}
	require.True(t, p.Stacks[0].Enabled, "a stack that platform.yaml doesn't name is on")
}

func layerNames(layers []Layer) []string {
	var names []string
	for _, l := range layers {
		names = append(names, l.Name)
	}
	return names
}

func apps(components []Component) []string {
	var names []string
	for _, c := range components {
		names = append(names, c.App)
	}
	return names
}

// config puts lines under global.platform; they start on line 3.
func config(lines string) map[string]string {
	return map[string]string{"platform.yaml": "global:\n  platform:\n    " + strings.ReplaceAll(lines, "\n", "\n    ") + "\n"}
}

// layer puts lines into the second layer, cilium; they start on line 6.
func layer(lines string) map[string]string {
	return map[string]string{"IT/layers.yaml": goodLayers + "  " + strings.ReplaceAll(lines, "\n", "\n  ") + "\n"}
}

// chart puts lines into the Chart.yaml of cilium; they start on line 4.
func chart(lines string) map[string]string {
	return map[string]string{"IT/cilium/Chart.yaml": chartFile("cilium") + lines + "\n"}
}

func TestLoadRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edits map[string]string
		want  []string
	}{
		// platform.yaml
		"no platform.yaml": {map[string]string{"platform.yaml": ""},
			[]string{`platform.yaml: no such file; it is looked for in /somewhere; run idp in a checkout of the platform, or name the checkout with --source`}},
		"empty platform.yaml": {map[string]string{"platform.yaml": "# nothing\n"},
			[]string{`platform.yaml: the file is empty; restore it, or write what it should say`}},
		"null platform.yaml": {map[string]string{"platform.yaml": "~\n"},
			[]string{`platform.yaml: the file is empty; restore it, or write what it should say`}},
		"huge": {map[string]string{"platform.yaml": strings.Repeat("# long\n", 200_000)},
			[]string{`platform.yaml: larger than 1024 KiB; is it the right file?`}},
		"not YAML": {map[string]string{"platform.yaml": "global: [\n"},
			[]string{`platform.yaml:1: not valid YAML: did not find expected node content`}},
		"tab": {map[string]string{"platform.yaml": "global:\n  platform:\n\tname: x\n"},
			[]string{`platform.yaml:3: a tab in the indentation; indent with spaces`}},
		"two documents": {map[string]string{"platform.yaml": goodConfig + "---\nglobal: {}\n"},
			[]string{`platform.yaml:6: a second YAML document starts here; keep one document in this file`}},
		"a list": {map[string]string{"platform.yaml": "- global\n"},
			[]string{`platform.yaml:1: the top level must be a mapping, not a list`}},
		"top-level key": {map[string]string{"platform.yaml": goodConfig + "globl: {}\n"},
			[]string{`platform.yaml:6: unknown key "globl" in the top level; did you mean "global"?`}},
		"key under global": {map[string]string{"platform.yaml": goodConfig + "  domain: x\n"},
			[]string{`platform.yaml:6: unknown key "domain" in global; known keys: platform`}},
		"no global": {map[string]string{"platform.yaml": "platform: {}\n"},
			[]string{
				`platform.yaml:1: the top level needs the key "global"`,
				`platform.yaml:1: unknown key "platform" in the top level; known keys: global`,
			}},
		"swapped letters": {config("domian: a.b"),
			[]string{`platform.yaml:3: unknown key "domian" in global.platform; did you mean "domain"?`}},
		"upper case": {config("Domain: a.b"),
			[]string{`platform.yaml:3: unknown key "Domain" in global.platform; did you mean "domain"?`}},
		"nothing near": {config("git: {branch: main}"),
			[]string{`platform.yaml:3: unknown key "branch" in global.platform.git; known keys: revision, url`}},
		"doubled key": {config("name: a\nname: b"),
			[]string{`platform.yaml:4: the key "name" in global.platform is already on line 3; keep one of them`}},
		"merge key": {config("git: &g {url: x}\nkubernetes:\n  <<: *g"),
			[]string{`platform.yaml:5: merge keys (<<) are not read in global.platform.kubernetes; write the keys out`}},
		"key that is no string": {config("? [a]\n: b"),
			[]string{`platform.yaml:3: a key in global.platform must be a string, not a list`}},
		"number as string": {config("name: 1"),
			[]string{`platform.yaml:3: global.platform.name must be a string, not 1; quote it: "1"`}},
		"list as string": {config("name: [a]"),
			[]string{`platform.yaml:3: global.platform.name must be a string, not a list`}},
		"string as mapping": {config("git: main"),
			[]string{`platform.yaml:3: global.platform.git must be a mapping, not "main"`}},
		"name": {config("name: My_Platform"),
			[]string{`platform.yaml:3: global.platform.name: "My_Platform" is no DNS label`}},
		"domain": {config("domain: a..b"),
			[]string{`platform.yaml:3: global.platform.domain: "a..b" is no DNS name`}},
		"profile": {config("profile: dmo"),
			[]string{`platform.yaml:3: global.platform.profile: "dmo" is not known; did you mean "demo"?`}},
		"values of no profile": {map[string]string{"IT/cilium/values-hq.yaml": "a: 1\n"},
			[]string{`IT/cilium/values-hq.yaml: no profile has this values file; did you mean values-ha.yaml?`}},
		"values of the demo": {map[string]string{"K8s/observability/loki/values-demo.yaml": "a: 1\n"},
			[]string{`K8s/observability/loki/values-demo.yaml: no profile has this values file; values of the profile demo are in values.yaml, those of others in values-<profile>.yaml`}},
		"values with another ending": {map[string]string{"IT/cilium/values-ha.yml": "a: 1\n"},
			[]string{`IT/cilium/values-ha.yml: no profile has this values file; did you mean values-ha.yaml?`}},
		"other profile": {config("profile: production"),
			[]string{`platform.yaml:3: global.platform.profile: "production" is not known; known values: demo, ha`}},
		"Kubernetes version": {config("kubernetes: {version: v1.37}"),
			[]string{`platform.yaml:3: global.platform.kubernetes.version: "v1.37" is no Kubernetes version such as v1.37.2`}},
		"API version": {config("kubernetes: {apiVersions: [a/b/c/d]}"),
			[]string{`platform.yaml:3: global.platform.kubernetes.apiVersions[0]: "a/b/c/d" is no API version such as cert-manager.io/v1 or cert-manager.io/v1/Certificate`}},
		"stack that doesn't exist": {config("stacks: {observabilty: true}"),
			[]string{`platform.yaml:3: there is no stack "observabilty"; did you mean "observability"?`}},
		"stack switched by a word": {config("stacks: {observability: on}"),
			[]string{`platform.yaml:3: global.platform.stacks.observability must be true or false, not "on"`}},
		"no pool": {config("cluster: {pools: []}"),
			[]string{`platform.yaml:3: global.platform.cluster.pools has no pool; name one, or leave the key out for the default of three nodes`}},
		"pool": {config("cluster:\n  pools:\n    - {name: Bad, count: 0, cpu: fast, memory: 4, colour: red}"),
			[]string{
				`platform.yaml:5: global.platform.cluster.pools[0].name: "Bad" is no DNS label`,
				`platform.yaml:5: global.platform.cluster.pools[0].count: 0 is not between 1 and 1000`,
				`platform.yaml:5: global.platform.cluster.pools[0].cpu: "fast" is no Kubernetes quantity; write it as "2", 500m or 4Gi`,
				`platform.yaml:5: global.platform.cluster.pools[0].memory: "4" is less than 1Mi of memory; did you mean 4Gi?`,
				`platform.yaml:5: unknown key "colour" in global.platform.cluster.pools[0]; known keys: count, cpu, labels, memory, name, taints`,
			}},
		"more pools": {config("cluster:\n  pools:\n    - {name: a, count: -1}\n    - {name: a, count: 1.5}\n    - {count: 1, cpu: \"-1\"}"),
			[]string{
				`platform.yaml:5: global.platform.cluster.pools[0].count: -1 is not between 1 and 1000`,
				`platform.yaml:6: global.platform.cluster.pools[1].count must be a whole number, not 1.5`,
				`platform.yaml:6: global.platform.cluster.pools[1]: the pool "a" is already on line 5; give each pool a name of its own`,
				`platform.yaml:7: global.platform.cluster.pools[2] needs the key "name"`,
				`platform.yaml:7: global.platform.cluster.pools[2].cpu: "-1" is not more than zero`,
			}},
		"taints and labels": {config("cluster:\n  pools:\n    - name: a\n      labels: {idp.dev/pool: b, \"x y\": c, n: 1}\n      taints:\n        - {key: k, effect: NoSchedul}\n        - {value: v, effect: NoSchedule}"),
			[]string{
				`platform.yaml:6: global.platform.cluster.pools[0].labels.idp.dev/pool: "b" can't be: this label is the pool's name, "a"`,
				`platform.yaml:6: global.platform.cluster.pools[0].labels.x y: "c" has a key that is no label key`,
				`platform.yaml:6: global.platform.cluster.pools[0].labels.n must be a string, not 1; quote it: "1"`,
				`platform.yaml:8: global.platform.cluster.pools[0].taints[0].effect: "NoSchedul" is not known; did you mean "NoSchedule"?`,
				`platform.yaml:9: global.platform.cluster.pools[0].taints[1] needs the key "key"`,
			}},
		"aliases that grow": {map[string]string{"platform.yaml": bomb()},
			[]string{`platform.yaml:1: the document is too deep or too large once its aliases are followed; write it out without anchors`}},
		"alias of itself": {map[string]string{"platform.yaml": "global: &g\n  platform: *g\n"},
			[]string{`platform.yaml:1: the document is too deep or too large once its aliases are followed; write it out without anchors`}},
		"unknown alias": {map[string]string{"platform.yaml": "global: *x\n"},
			[]string{`platform.yaml: not valid YAML: unknown anchor 'x' referenced`}},

		// IT/layers.yaml
		"no layers.yaml": {map[string]string{"IT/layers.yaml": ""},
			[]string{
				`IT/layers.yaml: no such file; it lists the layers in boot order; restore it`,
				`IT/layers.yaml: no layer is named after the folder IT/cilium; list it, or remove the folder`,
				`IT/layers.yaml: no layer is named after the folder IT/namespaces; list it, or remove the folder`,
			}},
		"layer's key": {layer("neds: [namespaces]"),
			[]string{`IT/layers.yaml:6: unknown key "neds" in layer cilium; did you mean "needs"?`}},
		"no namespace": {map[string]string{"IT/layers.yaml": "- name: namespaces\n  namespace: a\n- name: cilium\n"},
			[]string{`IT/layers.yaml:3: layer cilium needs the key "namespace"`}},
		"layer's folder": {map[string]string{"IT/layers.yaml": "- {name: namespaces, namespace: a}\n- {name: cilum, namespace: a}\n"},
			[]string{
				`IT/layers.yaml: no layer is named after the folder IT/cilium; list it, or remove the folder`,
				`IT/layers.yaml:2: the layer "cilum" has no folder IT/cilum; did you mean "cilium"?`,
			}},
		"layer twice": {map[string]string{"IT/layers.yaml": goodLayers + "- name: cilium\n  namespace: a\n"},
			[]string{`IT/layers.yaml:6: the layer "cilium" is already on line 3; give each layer a name of its own`}},
		"need of a missing layer": {map[string]string{"IT/layers.yaml": strings.Replace(goodLayers, "[namespaces]", "[namespace]", 1)},
			[]string{`IT/layers.yaml:5: the layer "cilium" needs "namespace", which is no layer; did you mean "namespaces"?`}},
		"need of itself": {map[string]string{"IT/layers.yaml": strings.Replace(goodLayers, "[namespaces]", "[cilium]", 1)},
			[]string{`IT/layers.yaml:5: the layer "cilium" needs itself; remove it from needs`}},
		"need twice": {map[string]string{"IT/layers.yaml": strings.Replace(goodLayers, "[namespaces]", "[namespaces, namespaces]", 1)},
			[]string{`IT/layers.yaml:5: layer cilium.needs[1]: "namespaces" is already on line 5; name it once`}},
		"cycle": {map[string]string{"IT/layers.yaml": strings.Replace(goodLayers, "namespace: default", "namespace: default\n  needs: [cilium]", 1)},
			[]string{`IT/layers.yaml:1: layers need one another: namespaces (line 1) → cilium (line 4) → namespaces (line 1); remove one of these needs`}},
		"gates": {layer("gates:\n  - {}\n  - {established: [a.io], dryRun: {apiVersion: v1, kind: C, metadata: {name: x}}}\n  - {establishd: [a.io]}\n  - {established: []}\n  - {condition: {kind: X, status: Yes}}\n  - {dryRun: {kind: C}}\n  - {dryRun: {apiVersion: v1, kind: C, metadata: {name: x}, n: .nan}}"),
			[]string{
				`IT/layers.yaml:7: layer cilium.gates[0] is empty; give it one of established, condition, every, dryRun, seeded`,
				`IT/layers.yaml:8: layer cilium.gates[1] has two kinds: established and dryRun; make it two gates`,
				`IT/layers.yaml:9: unknown key "establishd" in layer cilium.gates[2]; did you mean "established"?`,
				`IT/layers.yaml:10: layer cilium.gates[3].established is empty; name CustomResourceDefinitions such as certificates.cert-manager.io`,
				`IT/layers.yaml:11: layer cilium.gates[4].condition needs the key "apiVersion"`,
				`IT/layers.yaml:11: layer cilium.gates[4].condition needs the key "type"`,
				`IT/layers.yaml:11: layer cilium.gates[4].condition.status: "Yes" is not known; known values: False, True, Unknown`,
				`IT/layers.yaml:11: layer cilium.gates[4].condition needs the key "name"`,
				`IT/layers.yaml:12: layer cilium.gates[5].dryRun needs the key "apiVersion"`,
				`IT/layers.yaml:12: layer cilium.gates[5].dryRun needs the key "metadata.name"`,
				`IT/layers.yaml:13: layer cilium.gates[6].dryRun.n: .nan has no JSON form; quote it if it is meant as a string`,
			}},
		"gate without a value": {layer("gates:\n  - established:"),
			[]string{`IT/layers.yaml:7: layer cilium.gates[0] is empty; give it one of established, condition, every, dryRun, seeded`}},
		"timeout": {layer("timeout: 5"),
			[]string{`IT/layers.yaml:6: layer cilium.timeout: 5 is no duration; write it as 90s or 5m, at most 24h`}},
		"timeout below zero": {layer("timeout: -5m"),
			[]string{`IT/layers.yaml:6: layer cilium.timeout: "-5m" is no duration; write it as 90s or 5m, at most 24h`}},
		"hand-over that doesn't wait": {map[string]string{"IT/layers.yaml": "- {name: namespaces, namespace: a, handover: true}\n- {name: cilium, namespace: a, handover: true}\n"},
			[]string{
				`IT/layers.yaml:2: the layer "cilium" hands over, as does "namespaces" on line 1; let one layer do it`,
			}},
		"hand-over too early": {map[string]string{"IT/layers.yaml": "- {name: namespaces, namespace: a, handover: true}\n- {name: cilium, namespace: a}\n"},
			[]string{`IT/layers.yaml:1: the layer "namespaces" hands over but doesn't wait for "cilium"; add cilium to its needs`}},
		"layers that are a mapping": {map[string]string{"IT/layers.yaml": "layers: []\n"},
			[]string{
				`IT/layers.yaml: no layer is named after the folder IT/cilium; list it, or remove the folder`,
				`IT/layers.yaml: no layer is named after the folder IT/namespaces; list it, or remove the folder`,
				`IT/layers.yaml:1: the top level must be a list, not a mapping`,
			}},

		// Chart.yaml
		"no Chart.yaml": {map[string]string{"K8s/observability/loki/Chart.yaml": "", "K8s/observability/loki/values.yaml": "a: b"},
			[]string{`K8s/observability/loki/Chart.yaml: no such file; every component has one`}},
		"chart's name": {map[string]string{"K8s/observability/loki/Chart.yaml": chartFile("mimir")},
			[]string{`K8s/observability/loki/Chart.yaml:2: name: "mimir" is not the name of its folder, loki`}},
		"chart's key": {chart("dependancies: []"),
			[]string{`IT/cilium/Chart.yaml:4: unknown key "dependancies" in the top level; did you mean "dependencies"?`}},
		"chart's API version": {map[string]string{"IT/cilium/Chart.yaml": strings.Replace(chartFile("cilium"), "v2", "v1", 1)},
			[]string{`IT/cilium/Chart.yaml:1: apiVersion: "v1" is not known; did you mean "v2"?`}},
		"appVersion as a number": {chart("appVersion: 1.20"),
			[]string{`IT/cilium/Chart.yaml:4: appVersion must be a string, not 1.20; quote it: "1.20"`}},
		"chart that doesn't parse": {map[string]string{"IT/cilium/Chart.yaml": "name: cilium\n version: 1\n"},
			[]string{`IT/cilium/Chart.yaml:2: not valid YAML: mapping values are not allowed in this context`}},
		"dependencies": {chart("dependencies:\n  - name: cilium\n    version: ^1.2.3\n    repository: https://a\n  - name: b\n    version: 1.2.3\n  - name: cilium\n    version: \"1.2\"\n    repository: \"@repo\""),
			[]string{
				`IT/cilium/Chart.yaml:6: dependencies[0].version: "^1.2.3" is no exact version such as 1.2.3`,
				`IT/cilium/Chart.yaml:8: dependencies[1] needs the key "repository"`,
				`IT/cilium/Chart.yaml:10: dependencies[2]: "cilium" is already on line 5; give one of them an alias`,
				`IT/cilium/Chart.yaml:11: dependencies[2].version: "1.2" is no exact version such as 1.2.3`,
				`IT/cilium/Chart.yaml:12: dependencies[2].repository: "@repo" is no chart repository: https://…, oci://… or, for a library of this checkout, file://…`,
			}},
		"library that isn't one": {chart("dependencies:\n  - name: common\n    version: 1.2.3\n    repository: file://../nowhere"),
			[]string{`IT/cilium/Chart.yaml:5: the library chart "common" isn't in IT/nowhere; point it to a folder of this checkout whose Chart.yaml says type: library`}},
		"two Applications of one name": {map[string]string{
			"IT/layers.yaml":                        goodLayers + "- {name: observability-loki, namespace: a}\n",
			"IT/observability-loki/Chart.yaml":      chartFile("observability-loki"),
			"K8s/policies/a/Chart.yaml":             chartFile("a"),
			"Policies/b/Chart.yaml":                 chartFile("b"),
			"K8s/Upper/not-a-component/values.yaml": "a: b",
		}, []string{
			`K8s/Upper: the name of this folder is no DNS label; rename it`,
			`K8s/Upper/not-a-component/Chart.yaml: no such file; every component has one`,
			`K8s/observability/loki: its Application would be named "observability-loki", as that of IT/observability-loki; rename one of the folders`,
			`Policies: the stack policies is already in K8s/policies; rename one of the folders`,
		}},
		"everything at once": {map[string]string{
			"platform.yaml":        "global:\n  platform:\n    nam: x\n    domain: 1\n",
			"IT/layers.yaml":       goodLayers + "  nees: []\n",
			"IT/cilium/Chart.yaml": chartFile("cilum"),
		}, []string{
			`IT/cilium/Chart.yaml:2: name: "cilum" is not the name of its folder, cilium`,
			`IT/layers.yaml:6: unknown key "nees" in layer cilium; did you mean "needs"?`,
			`platform.yaml:3: unknown key "nam" in global.platform; did you mean "name"?`,
			`platform.yaml:4: global.platform.domain must be a string, not 1; quote it: "1"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(checkout(test.edits), "/somewhere")
			require.Error(t, err)
			require.Equal(t, test.want, strings.Split(err.Error(), "\n"))
			var input *InputError
			require.ErrorAs(t, err, &input)
			require.Equal(t, test.want[0], input.Error())
		})
	}
}

// bomb is nine lines that stand for more nodes than any machine has memory for.
func bomb() string {
	text := "a0: &a0 [x, x]\n"
	for i := 1; i < 40; i++ {
		text += fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	return text
}

func TestLoadUnreadable(t *testing.T) {
	_, err := Load(brokenFS{checkout(nil)}, "/somewhere")
	require.EqualError(t, err, "platform.yaml: can't be read: disk on fire")
}

// brokenFS can't open platform.yaml.
type brokenFS struct{ fs.FS }

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == ConfigFile {
		return nil, errors.New("disk on fire")
	}
	return b.FS.Open(name)
}

func TestOrder(t *testing.T) {
	for name, test := range map[string]struct {
		needs []string // "layer" or "layer: needs …", in the order of the file
		want  []string
	}{
		"the file's order":       {[]string{"c", "a", "b"}, []string{"c", "a", "b"}},
		"needs first":            {[]string{"c: a", "a", "b"}, []string{"a", "c", "b"}},
		"diamond":                {[]string{"d: b c", "c: a", "b: a", "a"}, []string{"a", "c", "b", "d"}},
		"stable where it can":    {[]string{"a", "d: c", "b", "c"}, []string{"a", "b", "c", "d"}},
		"chain against the file": {[]string{"c: b", "b: a", "a"}, []string{"a", "b", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			var layers []listed
			for _, text := range test.needs {
				name, needs, _ := strings.Cut(text, ":")
				layers = append(layers, listed{Layer: Layer{Component: Component{Name: name}, Needs: strings.Fields(needs)}})
			}
			require.Equal(t, test.want, layerNames(sorted(layers)))
		})
	}
}

func TestLayer(t *testing.T) {
	p, err := Load(checkout(nil), "/somewhere")
	require.NoError(t, err)
	l, found := p.Layer("cilium")
	require.True(t, found)
	require.Equal(t, "IT/cilium", l.Path)
	_, found = p.Layer("gitops")
	require.False(t, found)
	_, found = p.Component("nothing")
	require.False(t, found)
}

// A library is no layer, and nothing that has to be got.
func TestLibrary(t *testing.T) {
	fsys := checkout(map[string]string{
		"IT/common/Chart.yaml": "apiVersion: v2\nname: common\nversion: 0.1.0\ntype: library\n",
		"K8s/observability/loki/Chart.yaml": chartFile("loki") +
			"dependencies:\n  - name: common\n    version: 0.1.0\n    repository: file://../../../IT/common\n",
	})
	p, err := Load(fsys, "/somewhere")
	require.NoError(t, err)
	c, found := p.Component("observability-loki")
	require.True(t, found)
	require.Empty(t, c.Chart.Dependencies)
	require.Equal(t, []Library{{Name: "common", Path: "IT/common"}}, c.Chart.Libraries)
}

func TestProfiles(t *testing.T) {
	files := map[string]string{"IT/cilium/values-ha.yaml": "a: 1\n", "K8s/observability/loki/values-ha.yaml": "a: 1\n", "K8s/observability/loki/values.yaml": "a: 2\n"}
	for profile, want := range map[string][]string{
		"demo": {"platform.yaml"},
		"ha":   {"platform.yaml", "K8s/observability/loki/values-ha.yaml"},
	} {
		files["platform.yaml"] = "global: {platform: {profile: " + profile + "}}\n"
		p, err := Load(checkout(files), "/somewhere")
		require.NoError(t, err)
		loki, found := p.Component("observability-loki")
		require.True(t, found)
		require.Equal(t, []string{"ha"}, loki.Profiles, "whichever is chosen")
		require.Equal(t, want, p.ValueFiles(loki))
		namespaces, found := p.Component("namespaces")
		require.True(t, found)
		require.Equal(t, []string{"platform.yaml"}, p.ValueFiles(namespaces))
	}
}
