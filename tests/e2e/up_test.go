package e2e

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// eventually looks again and again until the condition holds; the bound is there for when it never does.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 2*time.Minute, 100*time.Millisecond, what)
}

// TestPlatform takes the repository's own platform through its life on one cluster. The steps build on one another.
func TestPlatform(t *testing.T) {
	tool := newIDP(t, "")

	first := tool.up(t, "--name", "one")
	require.True(t, first.Ready)
	require.Len(t, first.Nodes, 3)
	for _, layer := range first.Layers {
		require.Equal(t, "applied", layer.State, layer.Name)
	}
	for _, app := range first.Applications {
		require.Equal(t, "Synced", app.Sync, app.Name)
		require.Equal(t, "Healthy", app.Health, app.Name)
		require.NotContains(t, []string{"upstream", "cache"}, app.Chart, "offline, with an empty cache")
	}
	require.Contains(t, first.Cluster.Simulated, "kubelet")

	t.Run("adoption changed nothing", func(t *testing.T) { adoptedUntouched(t, tool, first) })
	t.Run("a second up writes nothing", func(t *testing.T) {
		before := len(tool.writes(t, "one"))
		require.NotZero(t, before, "the audit log must have seen the first up")
		again := tool.up(t, "--name", "one")
		require.True(t, again.Ready)
		for _, layer := range again.Layers {
			require.Equal(t, "cached", layer.State, layer.Name)
		}
		require.Empty(t, tool.writes(t, "one")[before:])
	})
	t.Run("status agrees", func(t *testing.T) {
		s := lastDocument(t, tool.ok(t, "status", "--name", "one", "-o", "json").stdout)
		require.True(t, s.Ready)
		require.Equal(t, first.Cluster.UID, s.Cluster.UID)
		require.Len(t, s.Applications, len(first.Applications))
	})
	t.Run("no secret has leaked", func(t *testing.T) { nothingLeaked(t, tool) })
	t.Run("the authority is known", func(t *testing.T) { authorityKnown(t, tool) })
	t.Run("the state is private", func(t *testing.T) { statePrivate(t, tool) })
	t.Run("every object passes strict validation", func(t *testing.T) { strictlyValid(t, tool) })
	t.Run("drift is put back", func(t *testing.T) { driftReverted(t, tool) })
	t.Run("an edit is published and synced", func(t *testing.T) { editSynced(t, tool) })
	t.Run("a folder that goes is pruned", func(t *testing.T) { folderPruned(t, tool) })
	t.Run("a stack that is switched off goes, and comes back", func(t *testing.T) { stackSwitched(t, tool) })
	t.Run("a fresh cluster starts from the snapshot", func(t *testing.T) {
		other := tool.up(t, "--name", "two")
		require.True(t, other.Ready)
		require.NotEqual(t, first.Cluster.UID, other.Cluster.UID, "two clusters are never taken for one another")
		for _, layer := range other.Layers {
			require.Equal(t, "cached", layer.State, layer.Name)
		}
		lines := slices.Collect(maps.Values(processes(t, filepath.Join(tool.state, "two"))))
		require.Contains(t, strings.Join(lines, "\n"), " argocd-application-controller ", "ready is said of an Argo CD that runs")
	})
	t.Run("down leaves nothing", func(t *testing.T) {
		for _, name := range []string{"one", "two"} {
			tool.ok(t, "down", "--name", name)
			require.NoDirExists(t, filepath.Join(tool.state, name))
			require.Empty(t, processes(t, filepath.Join(tool.state, name)))
			tool.ok(t, "down", "--name", name)
		}
	})
}

// adoptedUntouched sees in each layer's Application that Argo CD took it over without an operation.
func adoptedUntouched(t *testing.T, tool *idp, s status) {
	_, client := tool.client(t, "one")
	apps := client.Resource(schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}).Namespace("argocd")
	for _, layer := range s.Layers {
		app, err := apps.Get(t.Context(), layer.Name, metav1.GetOptions{})
		require.NoError(t, err)
		status, _ := app.Object["status"].(map[string]any)
		require.NotContains(t, status, "operationState", "Argo CD ran an operation on %s", layer.Name)
	}
}

func statePrivate(t *testing.T, tool *idp) {
	path := strings.TrimSpace(tool.ok(t, "kubeconfig", "--name", "one").stdout)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	for _, line := range processes(t, filepath.Join(tool.state, "one")) {
		require.NotRegexp(t, `(?i)token=|password=|-----BEGIN`, line)
	}
}

func driftReverted(t *testing.T, tool *idp) {
	client, _ := tool.client(t, "one")
	maps := client.CoreV1().ConfigMaps("argocd")
	before, err := maps.Get(t.Context(), "argocd-cm", metav1.GetOptions{})
	require.NoError(t, err)
	const key = "exec.enabled" // not one that Argo CD needs to put it back
	require.Contains(t, before.Data, key)
	_, err = maps.Patch(t.Context(), "argocd-cm", types.MergePatchType, []byte(`{"data":{"`+key+`":"by hand"}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	eventually(t, "Argo CD puts the ConfigMap back", func() bool {
		now, err := maps.Get(t.Context(), "argocd-cm", metav1.GetOptions{})
		return err == nil && now.Data[key] == before.Data[key]
	})
}

const addedComponent = `apiVersion: v2
name: added
description: A component that a test adds.
type: application
version: 0.1.0
`

func editSynced(t *testing.T, tool *idp) {
	dir := filepath.Join(tool.checkout, "K8s", "observability", "added")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "templates"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(addedComponent), 0o644))
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: added\ndata:\n  domain: {{ .Values.global.platform.domain }}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "templates", "configmap.yaml"), []byte(manifest), 0o644))

	s := tool.up(t, "--name", "one")
	require.True(t, s.Ready)
	client, _ := tool.client(t, "one")
	added, err := client.CoreV1().ConfigMaps("observability").Get(t.Context(), "added", metav1.GetOptions{})
	require.NoError(t, err, "up returns once the edit is Synced")
	require.Equal(t, "idp.localhost", added.Data["domain"])
}

// stackSwitched switches a stack off and on. The way back is the harder one: Argo CD is at work and knows only the commit without it.
func stackSwitched(t *testing.T, tool *idp) {
	file := filepath.Join(tool.checkout, "platform.yaml")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	off := strings.Replace(string(before), "policies: true", "policies: false", 1)
	require.NotEqual(t, string(before), off)
	require.NoError(t, os.WriteFile(file, []byte(off), 0o644))
	s := tool.up(t, "--name", "one")
	require.True(t, s.Ready)
	for _, app := range s.Applications {
		require.NotEqual(t, "policies", app.Stack, app.Name)
	}
	client, _ := tool.client(t, "one")
	_, err = client.CoreV1().Namespaces().Get(t.Context(), "policies", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "its namespace is gone as well: %v", err)

	require.NoError(t, os.WriteFile(file, before, 0o644))
	require.True(t, tool.up(t, "--name", "one").Ready)
	_, err = client.CoreV1().Namespaces().Get(t.Context(), "policies", metav1.GetOptions{})
	require.NoError(t, err)
}

func folderPruned(t *testing.T, tool *idp) {
	require.NoError(t, os.RemoveAll(filepath.Join(tool.checkout, "K8s", "observability", "added")))
	s := tool.up(t, "--name", "one")
	require.True(t, s.Ready)
	for _, app := range s.Applications {
		require.NotEqual(t, "observability-added", app.Name)
	}
	client, _ := tool.client(t, "one")
	_, err := client.CoreV1().ConfigMaps("observability").Get(t.Context(), "added", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "its objects are gone as well: %v", err)
}
