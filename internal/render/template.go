package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
)

// errMissingDependency says that Chart.yaml names a chart that charts/ doesn't hold.
var errMissingDependency = errors.New("a dependency is missing in charts/")

// template does what `helm template` does with the arguments that Argo CD's repo server gives it.
func template(ctx context.Context, r Request) (string, error) {
	values, err := mergedValues(r)
	if err != nil {
		return "", err
	}
	loaded, err := load(r.Dir)
	if err != nil {
		return "", err
	}
	install, err := newInstall(r)
	if err != nil {
		return "", err
	}
	rel, err := install.RunWithContext(ctx, loaded, values)
	if err != nil {
		return "", err
	}
	return printed(rel, r.SkipTests), nil
}

func newInstall(r Request) (*action.Install, error) {
	install := action.NewInstall(&action.Configuration{Log: func(string, ...any) {}})
	install.ClientOnly = true
	install.DryRun = true
	install.DryRunOption = "true"
	install.Replace = true
	install.ReleaseName = r.Release
	install.Namespace = r.Namespace
	install.IncludeCRDs = !r.SkipCRDs
	install.SkipSchemaValidation = r.SkipSchema
	install.APIVersions = chartutil.VersionSet(r.APIVersions)
	if r.KubeVersion != "" {
		version, err := chartutil.ParseKubeVersion(r.KubeVersion)
		if err != nil {
			return nil, fmt.Errorf("version of Kubernetes %q: %w", r.KubeVersion, err)
		}
		install.KubeVersion = version
	}
	return install, nil
}

func load(dir string) (*chart.Chart, error) {
	// Argo CD would merge such a file into the Application, where nobody who reads the Application sees it.
	if found, _ := filepath.Glob(filepath.Join(dir, ".argocd-source*.yaml")); len(found) > 0 {
		return nil, fmt.Errorf("%s is not supported", filepath.Base(found[0]))
	}
	if _, err := os.Stat(filepath.Join(dir, chartutil.ChartfileName)); err != nil {
		return nil, err
	}
	loaded, err := loader.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return nil, fmt.Errorf("%s charts are not installable", kind)
	}
	if err := action.CheckDependencies(loaded, loaded.Metadata.Dependencies); err != nil {
		return nil, fmt.Errorf("%w: %w", errMissingDependency, err)
	}
	return loaded, nil
}

// printed is the release as `helm template` prints it: manifests, then hooks.
func printed(rel *release.Release, skipTests bool) string {
	var out bytes.Buffer
	fmt.Fprintln(&out, strings.TrimSpace(rel.Manifest))
	for _, hook := range rel.Hooks {
		if skipTests && slices.Contains(hook.Events, release.HookTest) {
			continue
		}
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	return out.String()
}
