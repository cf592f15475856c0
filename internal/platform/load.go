package platform

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
)

// Load reads and checks the checkout in fsys: platform.yaml, IT/layers.yaml and the Chart.yaml of every component.
// root is where that checkout is on disk; it is used in messages and becomes Platform.Root.
//
// It never stops at the first thing that is wrong: the error joins one *InputError for each, sorted by file and line.
func Load(fsys fs.FS, root string) (*Platform, error) {
	absolute, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("find the checkout: %w", err)
	}
	out := &findings{}
	config, stackLines := readConfig(fsys, absolute, out)
	layers := readLayers(fsys, out)
	source{LayersFile, out}.checkGraph(layers)
	checkFolders(fsys, layers, out)
	for i := range layers {
		layers[i].Chart = readLayerChart(fsys, layers[i].Path, out)
		layers[i].Profiles = readProfiles(fsys, layers[i].Path, out)
	}
	stacks := readStacks(fsys, out)
	switchStacks(stacks, config.Stacks, stackLines, out)
	checkApps(layers, stacks, out)
	narrowSecrets(layers, stacks)
	if err := out.err(); err != nil {
		return nil, err
	}
	return &Platform{Root: absolute, Config: config, Layers: sorted(layers), Stacks: stacks}, nil
}

// readLayerChart reads a layer's chart, if it has a folder: checkFolders has said so where it has none.
func readLayerChart(fsys fs.FS, folder string, out *findings) ChartFile {
	if info, err := fs.Stat(fsys, folder); err != nil || !info.IsDir() {
		return ChartFile{}
	}
	return readChart(fsys, folder, out)
}

// checkFolders wants layers.yaml and the folders of IT/ to name the same layers.
func checkFolders(fsys fs.FS, layers []listed, out *findings) {
	present := folders(fsys, layersFolder, out)
	var names []string
	for _, l := range layers {
		names = append(names, l.Name)
		if !slices.Contains(present, l.Name) {
			out.add(&InputError{
				File: LayersFile, Line: l.line,
				Msg:  fmt.Sprintf("the layer %q has no folder %s", l.Name, l.Path),
				Hint: didYouMean(l.Name, present, "folders"),
			})
		}
	}
	for _, folder := range present {
		if !slices.Contains(names, folder) {
			out.add(&InputError{
				File: LayersFile,
				Msg:  fmt.Sprintf("no layer is named after the folder %s/%s", layersFolder, folder),
				Hint: "list it, or remove the folder",
			})
		}
	}
}

// switchStacks turns stacks on, but for those that platform.yaml turns off.
func switchStacks(stacks []Stack, switches map[string]bool, lines map[string]int, out *findings) {
	var names []string
	for i := range stacks {
		on, said := switches[stacks[i].Name]
		stacks[i].Enabled = on || !said
		names = append(names, stacks[i].Name)
	}
	for _, name := range slices.Sorted(maps.Keys(switches)) {
		if !slices.Contains(names, name) {
			out.add(&InputError{
				File: ConfigFile, Line: lines[name],
				Msg:  fmt.Sprintf("there is no stack %q", name),
				Hint: didYouMean(name, names, "stacks"),
			})
		}
	}
}

// narrowSecrets leaves to the declared stores what the stacks that are on need.
func narrowSecrets(layers []listed, stacks []Stack) {
	on := func(name string) bool {
		return slices.ContainsFunc(stacks, func(s Stack) bool { return s.Name == name && s.Enabled })
	}
	for _, l := range layers {
		for i := range l.Gates {
			if d := l.Gates[i].Seeded; d != nil {
				l.Gates[i].Seeded = d.For(on)
			}
		}
	}
}

// checkApps wants the names of Argo CD's Applications to be distinct: a layer "a-b" and a component b of the stack a would share one.
func checkApps(layers []listed, stacks []Stack, out *findings) {
	first := map[string]string{}
	for _, l := range layers {
		first[l.App] = l.Path
	}
	for _, s := range stacks {
		for _, c := range s.Components {
			if earlier, doubled := first[c.App]; doubled {
				out.add(&InputError{
					File: c.Path,
					Msg:  fmt.Sprintf("its Application would be named %q, as that of %s", c.App, earlier),
					Hint: "rename one of the folders",
				})
			}
			first[c.App] = c.Path
		}
	}
}
