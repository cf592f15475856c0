package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/idp-blueprint/idp/internal/platform"
)

const valuesFile = "values.yaml"

// CheckValues reports every key of a component's values files, whichever profile they are for, that no chart knows: Helm would take it without a word, and it would
// do nothing. It never asks the network: keys come from the inventory, or, where that is of another version, from the cached
// chart; a chart that is neither here nor recorded isn't checked. Errors are *platform.InputError, joined.
func (r *Resolver) CheckValues(ctx context.Context, root string, c platform.Component) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	inventory, err := ReadInventory(root, c.Path)
	if err != nil {
		return err
	}
	names := []string{valuesFile}
	for _, profile := range c.Profiles {
		names = append(names, platform.ProfileValues(profile))
	}
	var found []error
	for _, name := range names {
		found = append(found, r.checkFile(root, c, path.Join(c.Path, name), inventory))
	}
	return errors.Join(found...)
}

func (r *Resolver) checkFile(root string, c platform.Component, name string, inventory Inventory) error {
	document, err := readDocument(root, name)
	if err != nil || document == nil {
		return err
	}
	recorded := func(dep platform.Dependency) (*keys, error) { return r.keysOf(dep, inventory) }
	finding, err := find(root, c, name, document, recorded)
	if err == nil && finding.unsure {
		// A place that the inventory doesn't describe: the chart itself knows, if it is at hand.
		finding, err = find(root, c, name, document, func(dep platform.Dependency) (*keys, error) {
			k, err := r.cachedKeys(dep, inventory.chart(dep))
			if err != nil || k != nil {
				return k, err
			}
			return recorded(dep)
		})
	}
	if err != nil {
		return err
	}
	return errors.Join(finding.found...)
}

// find checks the document against the component's own keys and those of its charts.
func find(root string, c platform.Component, name string, document *yaml.Node, of func(platform.Dependency) (*keys, error)) (finder, error) {
	known, err := ownKeys(filepath.Join(root, filepath.FromSlash(c.Path)))
	if err != nil {
		return finder{}, err
	}
	for _, library := range c.Chart.Libraries {
		// A library's templates read the values of the chart that includes them.
		its, err := ownKeys(filepath.Join(root, filepath.FromSlash(library.Path)))
		if err != nil {
			return finder{}, err
		}
		known.merge(its)
	}
	for _, dep := range c.Chart.Dependencies {
		k, err := of(dep)
		if err != nil {
			return finder{}, err
		}
		known.add(valuesKey(dep)).merge(k)
		known.addConditions(dep.Condition)
	}
	finding := finder{file: name}
	finding.doubled("", document)
	finding.check("", document, known)
	return finding, nil
}

// doubled reports keys that a mapping has twice, at any depth: Helm takes the last one without a word.
func (f *finder) doubled(place string, node *yaml.Node) {
	first := map[string]int{}
	for i, item := range node.Content {
		key := ""
		if node.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue
			}
			named := node.Content[i-1]
			key = named.Value
			if line, again := first[key]; again && named.Tag != "!!merge" {
				f.found = append(f.found, &platform.InputError{
					File: f.file, Line: named.Line, Msg: fmt.Sprintf("the key %q is already on line %d", join(place, key), line), Hint: "keep one of them",
				})
			}
			first[key] = named.Line
		}
		f.doubled(join(place, key), item)
	}
}

// valuesKey is where a dependency's values stand.
func valuesKey(dep platform.Dependency) string {
	if dep.Alias != "" {
		return dep.Alias
	}
	return dep.Name
}

// keysOf gives the keys of a dependency, any where nothing is known of it.
func (r *Resolver) keysOf(dep platform.Dependency, inventory Inventory) (*keys, error) {
	facts := inventory.chart(dep)
	if facts != nil && len(facts.Keys) > 0 {
		return recordedKeys(facts.Keys, facts.Free), nil
	}
	k, err := r.cachedKeys(dep, facts)
	if k == nil {
		k = &keys{free: true}
	}
	return k, err
}

// cachedKeys gives the keys of the cached chart, nil where it isn't cached.
func (r *Resolver) cachedKeys(dep platform.Dependency, facts *Chart) (*keys, error) {
	found, _, err := r.cache.find(dep, facts)
	if err != nil || found == nil {
		return nil, err
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(found.data))
	if err != nil {
		return nil, &ArchiveError{Where: found.where, Msg: "no readable chart", Err: err}
	}
	return chartKeys(loaded), nil
}

// ownKeys are the keys that the component's own templates read, and those that Helm itself gives a meaning.
func ownKeys(dir string) (*keys, error) {
	known := &keys{}
	known.add("global").free = true
	known.add("tags").free = true
	err := filepath.WalkDir(filepath.Join(dir, "templates"), func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, p := range valuePaths(string(text)) {
			known.add(p[0]).free = true
		}
		return nil
	})
	return known, err
}

var yamlPosition = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?(.*)$`)

// readDocument gives the root node of a YAML file, nil for an empty or missing one.
func readDocument(root, name string) (*yaml.Node, error) {
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		wrong := &platform.InputError{File: name, Msg: err.Error(), Hint: "make it valid YAML"}
		if match := yamlPosition.FindStringSubmatch(err.Error()); match != nil {
			wrong.Msg = match[2]
			_, _ = fmt.Sscan(match[1], &wrong.Line)
		}
		return nil, wrong
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return document.Content[0], nil
}

// finder walks a values file beside the keys that are known.
type finder struct {
	file   string
	found  []error
	unsure bool // some place isn't described
}

func (f *finder) check(place string, node *yaml.Node, known *keys) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.MappingNode && known.unknown {
		f.unsure = true
	}
	// A place with no known keys below it is a value: what Helm or the chart make of a map there isn't known here.
	if node.Kind != yaml.MappingNode || known.free || len(known.children) == 0 {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Tag == "!!merge" {
			f.checkMerged(place, value, known)
			continue
		}
		next, ok := known.children[key.Value]
		if !ok {
			f.add(place, key, known)
			continue
		}
		f.check(join(place, key.Value), value, next)
	}
}

// checkMerged follows "<<": one map or a list of them.
func (f *finder) checkMerged(place string, node *yaml.Node, known *keys) {
	if node.Kind != yaml.SequenceNode {
		f.check(place, node, known)
		return
	}
	for _, item := range node.Content {
		f.check(place, item, known)
	}
}

func (f *finder) add(place string, key *yaml.Node, known *keys) {
	f.found = append(f.found, &platform.InputError{
		File: f.file, Line: key.Line,
		Msg:  fmt.Sprintf("no chart knows the key %q", join(place, key.Value)),
		Hint: hint(place, key.Value, known),
	})
}

// hint names a key that is spelt nearly like it, or the same key where it would have a meaning.
func hint(place, name string, known *keys) string {
	names := slices.Sorted(maps.Keys(known.children))
	if near := platform.Nearest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", join(place, near))
	}
	if deeper := places(name, place, known, maxHintDepth); len(deeper) > 0 {
		return fmt.Sprintf("did you mean %q?", deeper[0])
	}
	if alike := sameBeginning(name, names); alike != "" {
		return fmt.Sprintf("did you mean %q?", join(place, alike))
	}
	return fmt.Sprintf("known here: %s", strings.Join(names, ", "))
}

// sameBeginning is the known name that shares most of its beginning with name, two thirds of name at least: other charts say replicas
// where this one says replicaCount.
func sameBeginning(name string, names []string) string {
	best, most := "", len(name)*2/3
	for _, known := range names {
		n := 0
		for n < min(len(name), len(known)) && name[n] == known[n] {
			n++
		}
		if n > most {
			best, most = known, n
		}
	}
	return best
}

// maxHintDepth bounds the search for a key at the wrong depth, the most frequent mistake.
const maxHintDepth = 3

// places are where a key of that name is known below place, nearest first.
func places(name, place string, known *keys, depth int) []string {
	if depth == 0 {
		return nil
	}
	var here, below []string
	for _, child := range slices.Sorted(maps.Keys(known.children)) {
		next := known.children[child]
		if _, ok := next.children[name]; ok {
			here = append(here, join(join(place, child), name))
		}
		below = append(below, places(name, join(place, child), next, depth-1)...)
	}
	return append(here, below...)
}

func join(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}
