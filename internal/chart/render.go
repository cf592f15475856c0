package chart

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/idp-blueprint/idp/internal/platform"
)

// renders are what each chart of a component makes, by the name its values stand under.
type renders struct {
	charts map[string]*rendered
	values map[string]any // the component's own, those of the profile included
}

// rendered is what one chart makes: with the component's values, and, of ConfigMaps, with its own defaults.
type rendered struct {
	objects  []map[string]any
	defaults map[string]map[string]any // ConfigMaps' data by name; nil where the chart can't be rendered without values
	said     map[string]string         // keys and texts of the component's values for this chart
}

// renderCharts renders the component the way Helm does and keeps which chart each object is of. Rendering with the charts'
// defaults too shows what of a ConfigMap comes from the component's values.
func renderCharts(p *platform.Platform, c platform.Component, component *chart.Chart) (renders, error) {
	given, err := givenValues(p, c)
	if err != nil {
		return renders{}, err
	}
	own := chartutil.MergeTables(deepCopy(given).(map[string]any), deepCopy(component.Values).(map[string]any))
	bare := *component
	objects, err := render(p, c, component, deepCopy(given).(map[string]any))
	if err != nil {
		return renders{}, fmt.Errorf("rendering %s: %w", c.Path, err)
	}
	out := renders{charts: map[string]*rendered{}, values: own}
	for name, list := range objects {
		out.charts[name] = &rendered{objects: list}
	}
	for _, dep := range c.Chart.Dependencies {
		if out.charts[valuesKey(dep)] == nil {
			out.charts[valuesKey(dep)] = &rendered{}
		}
		out.charts[valuesKey(dep)].said = map[string]string{}
		collect(own[valuesKey(dep)], out.charts[valuesKey(dep)].said)
	}
	bare.Values = map[string]any{}
	given, err = readValues(p.Root, platform.ConfigFile)
	if err != nil {
		return renders{}, err
	}
	defaults, err := render(p, c, &bare, given)
	if err != nil {
		return out, nil // some charts want values; see rendered.defaults
	}
	for name, r := range out.charts {
		r.defaults = map[string]map[string]any{}
		for _, object := range defaults[name] {
			if object["kind"] == "ConfigMap" {
				r.defaults[nameOf(object)] = dig(object, "data")
			}
		}
	}
	return out, nil
}

// render gives the objects by the first chart below the component that makes them; "" for the component's own templates.
func render(p *platform.Platform, c platform.Component, component *chart.Chart, values map[string]any) (map[string][]map[string]any, error) {
	version, err := chartutil.ParseKubeVersion(p.Config.Kubernetes.Version)
	if err != nil {
		return nil, err
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	capabilities.APIVersions = append(capabilities.APIVersions, p.Config.Kubernetes.APIVersions...)
	if err := chartutil.ProcessDependenciesWithMerge(component, values); err != nil {
		return nil, err
	}
	options := chartutil.ReleaseOptions{Name: c.Name, Namespace: c.Namespace, Revision: 1, IsInstall: true}
	toRender, err := chartutil.ToRenderValues(component, values, options, capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(component, toRender)
	if err != nil {
		return nil, err
	}
	for _, crd := range component.CRDObjects() {
		files[crd.Filename] = string(crd.File.Data)
	}
	objects := map[string][]map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Base(name) == "NOTES.txt" || strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		list, err := parseObjects([]byte(files[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		objects[chartOf(name)] = append(objects[chartOf(name)], list...)
	}
	return objects, nil
}

// chartOf is the chart in "component/charts/<chart>/templates/…".
func chartOf(file string) string {
	parts := strings.Split(file, "/")
	if len(parts) > 3 && parts[1] == "charts" {
		return parts[2]
	}
	return ""
}

// collect gathers the texts of a values tree by key.
func collect(value any, said map[string]string) {
	m, _ := value.(map[string]any)
	for key, item := range m {
		switch v := item.(type) {
		case map[string]any:
			collect(v, said)
		case nil, []any:
		default:
			said[key] = fmt.Sprint(v)
		}
	}
}
