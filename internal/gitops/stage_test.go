package gitops

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/stretchr/testify/require"
)

// vendorFunc puts one archive into every component, or fails.
type vendorFunc func(c platform.Component, dest string) (string, error)

func (f vendorFunc) Vendor(_ context.Context, c platform.Component, dest string) (string, error) {
	return f(c, dest)
}

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
}

func checkout(t *testing.T) *platform.Platform {
	t.Helper()
	root := t.TempDir()
	write(t, root, map[string]string{
		"platform.yaml":       "global: {}\n",
		"README.md":           "not served\n",
		"IT/layers.yaml":      "[]\n",
		"IT/web/Chart.yaml":   "name: web\n",
		"IT/web/charts/x.tgz": "left by helm dependency build",
		".gitignore":          "charts/\n*.swp\n",
		"IT/web/.values.swp":  "an editor's",
	})
	return &platform.Platform{Root: root, Layers: []platform.Layer{{Component: platform.Component{Name: "web", App: "web", Path: "IT/web"}}}}
}

func gitInit(t *testing.T, root string) {
	t.Helper()
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}} {
		out, err := exec.Command("git", append([]string{"-C", root}, args...)...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	}))
	return names
}

func TestStageTakesWhatArgoCDReads(t *testing.T) {
	charts := vendorFunc(func(_ platform.Component, dest string) (string, error) {
		write(t, dest, map[string]string{"charts/real-1.0.0.tgz": "archive"})
		return "cache", nil
	})
	t.Run("a Git checkout, with uncommitted and removed files", func(t *testing.T) {
		p := checkout(t)
		gitInit(t, p.Root)
		write(t, p.Root, map[string]string{"K8s/obs/new/Chart.yaml": "name: new\n", "Policies/old.yaml": "x"})
		gitInit(t, p.Root)
		require.NoError(t, os.Remove(filepath.Join(p.Root, "Policies/old.yaml")))
		dest := t.TempDir()
		sources, err := Stage(t.Context(), p, charts, dest)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"web": "cache"}, sources)
		require.Equal(t, []string{"IT/layers.yaml", "IT/web/Chart.yaml", "IT/web/charts/real-1.0.0.tgz", "K8s/obs/new/Chart.yaml", "idp-charts.json", "platform.yaml"}, list(t, dest))
	})
	t.Run("an unpacked archive", func(t *testing.T) {
		p := checkout(t)
		dest := t.TempDir()
		_, err := Stage(t.Context(), p, charts, dest)
		require.NoError(t, err)
		require.Contains(t, list(t, dest), "IT/web/charts/real-1.0.0.tgz")
		require.NotContains(t, list(t, dest), "IT/web/charts/x.tgz")
		require.NotContains(t, list(t, dest), "README.md")
	})
}

func TestStageReportsEveryChartThatFails(t *testing.T) {
	p := checkout(t)
	p.Layers = append(p.Layers, platform.Layer{Component: platform.Component{App: "db", Path: "IT/db"}})
	_, err := Stage(t.Context(), p, vendorFunc(func(c platform.Component, _ string) (string, error) {
		return "", errors.New(c.App + " has no chart")
	}), t.TempDir())
	require.ErrorContains(t, err, "web has no chart")
	require.ErrorContains(t, err, "db has no chart")
}
