package chart

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/idp-blueprint/idp/internal/platform"
)

// ownPlatform is the platform of this repository.
func ownPlatform(t *testing.T) *platform.Platform {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	p, err := platform.Load(os.DirFS(root), root)
	require.NoError(t, err)
	return p
}

// TestEveryComponentHasItsInventory holds for this repository's own components what `idp lock --check` can't say without charts:
// a version that was raised without a new inventory, or a key that no chart knows.
func TestEveryComponentHasItsInventory(t *testing.T) {
	p := ownPlatform(t)
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	for _, c := range p.Components() {
		t.Run(c.Path, func(t *testing.T) {
			inventory, err := ReadInventory(p.Root, c.Path)
			require.NoError(t, err)
			require.Len(t, inventory.Charts, len(c.Chart.Dependencies))
			for _, dep := range c.Chart.Dependencies {
				facts := inventory.chart(dep)
				require.NotNil(t, facts, "%s %s: run `idp lock`", dep.Name, dep.Version)
				require.NotEmpty(t, facts.Keys)
				for _, crd := range facts.CRDs {
					if !saysWhyNoModule(t, p.Root, c) {
						require.NotEmpty(t, crd.File, "no module ships %s", crd.Name)
					}
				}
			}
			require.NoError(t, r.CheckValues(t.Context(), p.Root, c))
		})
	}
}

// saysWhyNoModule is true for a component that gives its reason for CRDs that no Go module ships: its stand-in's CRDs accept anything.
func saysWhyNoModule(t *testing.T, root string, c platform.Component) bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(c.Path), "Chart.yaml"))
	require.NoError(t, err)
	var file struct{ Annotations map[string]string }
	require.NoError(t, yaml.Unmarshal(content, &file))
	return file.Annotations["idp.dev/crds-in-no-module"] != ""
}

// TestEveryPodSaysWhatItTakes looks at the recorded pods: a priority, requests and a memory limit on each container, an image with
// its registry and version, and on DaemonSets the toleration without which they leave a node out.
func TestEveryPodSaysWhatItTakes(t *testing.T) {
	p := ownPlatform(t)
	for _, c := range p.Components() {
		inventory, err := ReadInventory(p.Root, c.Path)
		require.NoError(t, err)
		for _, chart := range inventory.Charts {
			for _, w := range chart.Workloads {
				t.Run(c.App+"/"+w.Kind+"/"+w.Name, func(t *testing.T) {
					require.NotEmpty(t, w.Pod.PriorityClassName)
					if w.Kind == "DaemonSet" {
						require.NotEmpty(t, w.Pod.Tolerations)
					}
					for _, container := range append(w.Pod.InitContainers, w.Pod.Containers...) {
						requests, limits := dig(container.Resources, "requests"), dig(container.Resources, "limits")
						require.NotEmpty(t, requests["cpu"], container.Name)
						require.NotEmpty(t, requests["memory"], container.Name)
						require.NotEmpty(t, limits["memory"], container.Name)
						require.Regexp(t, `^[a-z0-9-]+(\.[a-z0-9-]+)+/.+(:v?[0-9]|@sha256:)`, container.Image)
					}
				})
			}
		}
	}
}

// TestFrequentMistakes writes keys where a chart doesn't look, as platforms do: each was accepted in silence somewhere.
func TestFrequentMistakes(t *testing.T) {
	p := ownPlatform(t)
	for _, test := range []struct{ app, values, says string }{
		{"cilium", "cilium:\n  hubbleUI:\n    resources: {}\n", `"cilium.hubbleUI"`},
		{"cilium", "cilium:\n  hubble:\n    resources: {requests: {cpu: 1m}}\n", `"cilium.hubble.resources"`},
		{"cilium", "cilium:\n  bpf:\n    hostRouting: false\n", `"cilium.bpf.hostRouting"`},
		{"argocd", "argo-cd:\n  ha: {enabled: true}\n", `"argo-cd.ha"`},
		{"argocd", "argo-cd:\n  server:\n    priorityClass: x\n", `did you mean "argo-cd.server.priorityClassName"?`},
		{"cert-manager", "cert-manager:\n  webhook:\n    replicas: 2\n", `did you mean "cert-manager.webhook.replicaCount"?`},
		{"observability-kube-prometheus-stack", "kube-prometheus-stack:\n  prometheus:\n    retention: 1d\n", `did you mean "kube-prometheus-stack.prometheus.prometheusSpec.retention"?`},
		{"observability-kube-prometheus-stack", "kube-prometheus-stack:\n  grafana:\n    resource: {}\n", `did you mean "kube-prometheus-stack.grafana.resources"?`},
		{"observability-loki", "loki:\n  singleBinary: {replicas: 1}\n  resources: {requests: {cpu: 1m}}\n", `"loki.resources"`},
	} {
		t.Run(strings.ReplaceAll(test.says, "/", "_"), func(t *testing.T) {
			c, ok := p.Component(test.app)
			require.True(t, ok)
			root := t.TempDir()
			require.NoError(t, os.CopyFS(filepath.Join(root, c.Path), os.DirFS(filepath.Join(p.Root, c.Path))))
			write(t, filepath.Join(root, c.Path, valuesFile), test.values)
			require.ErrorContains(t, NewResolver(Options{CacheDir: t.TempDir(), Offline: true}).CheckValues(t.Context(), root, c), test.says)
		})
	}
}
