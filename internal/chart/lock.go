package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/registry"
	"sigs.k8s.io/yaml"

	"github.com/idp-blueprint/idp/internal/platform"
)

// crdsAnnotation of a component's Chart.yaml names the Go module that ships its charts' CRDs: <module>@<version>/<folder>.
const crdsAnnotation = "idp.dev/crds"

// Lock renders component c from its real charts and gives the inventory of that render. It never makes a stand-in. It writes
// nothing; see WriteInventory. A component without dependencies has an inventory without charts.
func (r *Resolver) Lock(ctx context.Context, p *platform.Platform, c platform.Component) (Inventory, error) {
	inventory := Inventory{Schema: inventorySchema, Kubernetes: p.Config.Kubernetes.Version}
	if len(c.Chart.Dependencies) == 0 {
		return inventory, nil
	}
	old, err := ReadInventory(p.Root, c.Path)
	if err != nil {
		old = Inventory{} // what is there is about to be replaced
	}
	archives := make([]*archive, 0, len(c.Chart.Dependencies))
	for _, dep := range c.Chart.Dependencies {
		a, err := r.real(ctx, c, dep, old)
		if err != nil {
			return Inventory{}, err
		}
		archives = append(archives, a)
	}
	component, err := loadComponent(p.Root, c, archives)
	if err != nil {
		return Inventory{}, err
	}
	rendered, err := renderCharts(p, c, component)
	if err != nil {
		return Inventory{}, err
	}
	written, err := everyProfile(p, c, rendered.values)
	if err != nil {
		return Inventory{}, err
	}
	for n, dep := range c.Chart.Dependencies {
		chart, err := r.facts(ctx, dep, archives[n], old.chart(dep))
		if err != nil {
			return Inventory{}, err
		}
		source := rendered.charts[valuesKey(dep)]
		source.fill(chart)
		values, _ := written[valuesKey(dep)].(map[string]any)
		chart.Keys, chart.Free, err = recordKeys(archives[n], values)
		if err != nil {
			return Inventory{}, err
		}
		if err := r.fillModule(ctx, component, chart); err != nil {
			return Inventory{}, fmt.Errorf("%s: %w", path.Join(c.Path, "Chart.yaml"), err)
		}
		inventory.Charts = append(inventory.Charts, *chart)
	}
	return inventory, nil
}

// WriteInventory writes the inventory beside the component's Chart.yaml and says whether that changed it. An inventory without
// charts has no file.
func WriteInventory(root string, c platform.Component, i Inventory) (changed bool, err error) {
	file := filepath.Join(root, filepath.FromSlash(c.Path), InventoryFile)
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if len(i.Charts) == 0 {
		return old != nil, removeIfThere(file)
	}
	text, err := i.Bytes()
	if err != nil || bytes.Equal(old, text) {
		return false, err
	}
	return true, writeWhole(file, text)
}

// CheckInventory fails where the component's inventory isn't what Lock gives now.
func CheckInventory(root string, c platform.Component, i Inventory) error {
	name := path.Join(c.Path, InventoryFile)
	old, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(i.Charts) == 0 && old == nil {
		return nil
	}
	text, err := i.Bytes()
	if err != nil {
		return err
	}
	if len(i.Charts) > 0 && bytes.Equal(old, text) {
		return nil
	}
	return &platform.InputError{
		File: name, Line: firstDifference(old, text),
		Msg:  "it isn't what the charts and values give now",
		Hint: "run `idp lock` and commit what it wrote",
	}
}

// firstDifference is the first line, 1-based, in which two files differ.
func firstDifference(a, b []byte) int {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for n := range min(len(x), len(y)) {
		if !bytes.Equal(x[n], y[n]) {
			return n + 1
		}
	}
	return min(len(x), len(y))
}

// facts are what is known of the archive itself. The published address and digest come from the repository's index; where that
// can't be read now, what was recorded of the same archive before stays.
func (r *Resolver) facts(ctx context.Context, dep platform.Dependency, a *archive, old *Chart) (*Chart, error) {
	meta, err := a.meta()
	if err != nil {
		return nil, err
	}
	facts := &Chart{
		Name: dep.Name, Alias: dep.Alias, Version: dep.Version, AppVersion: meta.AppVersion,
		Repository: dep.Repository, Files: a.digest,
	}
	if old != nil {
		facts.URL, facts.SHA256 = old.URL, old.SHA256
	}
	if r.options.Offline || registry.IsOCI(dep.Repository) {
		return facts, nil
	}
	url, sum, err := r.upstream.published(ctx, dep)
	switch {
	case err == nil:
		facts.URL, facts.SHA256 = url, sum
	case !unreachable(err):
		return nil, err
	}
	return facts, ctx.Err()
}

func recordKeys(a *archive, values map[string]any) (map[string]inline, inline, error) {
	loaded, err := loader.LoadArchive(bytes.NewReader(a.data))
	if err != nil {
		return nil, nil, &ArchiveError{Where: a.where, Msg: "no readable chart", Err: err}
	}
	places, free := chartKeys(loaded).record(values)
	return places, free, nil
}

// fillModule pins the Go module that ships the CRDs, where the component names one, and where each of them is in it.
func (r *Resolver) fillModule(ctx context.Context, component *chart.Chart, facts *Chart) error {
	named := component.Metadata.Annotations[crdsAnnotation]
	if named == "" || len(facts.CRDs) == 0 {
		return nil
	}
	module, err := parseModule(named)
	if err != nil {
		return fmt.Errorf("annotation %s: %w", crdsAnnotation, err)
	}
	files, err := r.modules.files(ctx, module)
	if err != nil {
		return err
	}
	where := map[string]string{}
	for file, text := range files {
		objects, err := parseObjects(text)
		if err != nil {
			continue // not every YAML file of a module is a manifest
		}
		for _, object := range objects {
			if object["kind"] == "CustomResourceDefinition" {
				where[nameOf(object)] = file
			}
		}
	}
	for n := range facts.CRDs {
		facts.CRDs[n].File = where[facts.CRDs[n].Name]
		if facts.CRDs[n].File != "" {
			facts.Module = module
		}
	}
	if facts.Module == nil {
		return fmt.Errorf("annotation %s: %s has none of the chart's CRDs", crdsAnnotation, named)
	}
	return nil
}

// loadComponent loads the component's folder with the archives in place of its charts folder.
func loadComponent(root string, c platform.Component, archives []*archive) (*chart.Chart, error) {
	dir, err := os.MkdirTemp("", "idp-lock-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	source := filepath.Join(root, filepath.FromSlash(c.Path))
	if err := os.CopyFS(dir, withoutCharts{os.DirFS(source)}); err != nil {
		return nil, err
	}
	charts := filepath.Join(dir, "charts")
	if err := os.Mkdir(charts, 0o755); err != nil {
		return nil, err
	}
	for _, a := range archives {
		if err := os.WriteFile(filepath.Join(charts, a.name+"-"+a.version+archiveExt), a.data, 0o644); err != nil {
			return nil, err
		}
	}
	if err := vendorLibraries(root, c, dir); err != nil {
		return nil, err
	}
	loaded, err := loader.LoadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", c.Path, err)
	}
	return loaded, nil
}

// withoutCharts hides a charts folder that someone vendored by hand.
type withoutCharts struct{ fs.FS }

func (w withoutCharts) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(w.FS, name)
	if name != "." {
		return entries, err
	}
	kept := entries[:0]
	for _, entry := range entries {
		if entry.Name() != "charts" {
			kept = append(kept, entry)
		}
	}
	return kept, err
}

// givenValues are those that the component is rendered with beside its own values.yaml.
func givenValues(p *platform.Platform, c platform.Component) (map[string]any, error) {
	given := map[string]any{}
	for _, file := range p.ValueFiles(c) {
		values, err := readValues(p.Root, file)
		if err != nil {
			return nil, err
		}
		given = chartutil.MergeTables(values, given)
	}
	return given, nil
}

func readValues(root, file string) (map[string]any, error) {
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(data, &values); err != nil {
		return nil, &platform.InputError{File: file, Msg: err.Error(), Hint: "make it valid YAML"}
	}
	return values, nil
}

// everyProfile adds to the component's own values what any of its profiles says: an inventory describes the keys of all, so that
// they are checked whichever is chosen.
func everyProfile(p *platform.Platform, c platform.Component, own map[string]any) (map[string]any, error) {
	for _, profile := range c.Profiles {
		values, err := readValues(p.Root, path.Join(c.Path, platform.ProfileValues(profile)))
		if err != nil {
			return nil, err
		}
		own = chartutil.MergeTables(values, own)
	}
	return own, nil
}
