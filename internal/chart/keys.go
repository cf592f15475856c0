package chart

import (
	"encoding/json"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
)

// keys is what a chart knows of its values: the keys at each place, or that anything goes from there on.
type keys struct {
	children map[string]*keys
	free     bool
	unknown  bool // the inventory doesn't say
	taken    bool // templates take single keys out of it by full name
}

func (k *keys) add(name string) *keys {
	if k.children == nil {
		k.children = map[string]*keys{}
	}
	next := k.children[name]
	if next == nil {
		next = &keys{}
		k.children[name] = next
	}
	return next
}

// chartKeys collects a chart's keys out of four places, since each of them leaves some out: its values.yaml, its schema, what its
// templates ask for by full name, and its subcharts.
func chartKeys(c *chart.Chart) *keys {
	root := &keys{}
	root.addValues(c.Values)
	root.addSchema(c.Schema)
	var copied copies
	for _, t := range templatesOf(c) {
		for _, p := range valuePaths(t) {
			root.addPath(p)
		}
		copied.read(t)
	}
	root.markFree(copied)
	root.addDependencies(c)
	root.add("global").free = true
	return root
}

// templatesOf gives a chart's templates, and those that it keeps as texts in its values.
func templatesOf(c *chart.Chart) []string {
	var found []string
	for _, t := range c.Templates {
		found = append(found, string(t.Data))
	}
	return append(found, templatesIn(c.Values)...)
}

func templatesIn(value any) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		for _, item := range v {
			found = append(found, templatesIn(item)...)
		}
	case []any:
		for _, item := range v {
			found = append(found, templatesIn(item)...)
		}
	case string:
		if strings.Contains(v, "{{") {
			found = append(found, v)
		}
	}
	return found
}

// addValues reads defaults. An empty map or nothing is a place that users fill as they like.
func (k *keys) addValues(values map[string]any) {
	for name, value := range values {
		next := k.add(name)
		switch v := value.(type) {
		case map[string]any:
			next.free = next.free || len(v) == 0
			next.addValues(v)
		case nil:
			next.free = true
		}
	}
}

type schema struct {
	Ref        string             `json:"$ref"`
	Properties map[string]schema  `json:"properties"`
	Additional json.RawMessage    `json:"additionalProperties"`
	Pattern    map[string]schema  `json:"patternProperties"`
	AllOf      []schema           `json:"allOf"`
	AnyOf      []schema           `json:"anyOf"`
	OneOf      []schema           `json:"oneOf"`
	Defs       map[string]*schema `json:"$defs"`
	OldDefs    map[string]*schema `json:"definitions"`
}

// addSchema reads a JSON schema. Helm itself enforces it; here it only adds keys that the defaults leave out.
func (k *keys) addSchema(data []byte) {
	var root schema
	if json.Unmarshal(data, &root) != nil {
		return // no schema, or one that isn't ours to judge
	}
	k.addProperties(root, root, maxSchemaDepth)
}

// maxSchemaDepth bounds schemas that refer to themselves.
const maxSchemaDepth = 12

func (k *keys) addProperties(s, root schema, depth int) {
	if depth == 0 {
		return
	}
	if name := path.Base(s.Ref); s.Ref != "" {
		if target := root.Defs[name]; target != nil {
			k.addProperties(*target, root, depth-1)
		} else if target := root.OldDefs[name]; target != nil {
			k.addProperties(*target, root, depth-1)
		}
	}
	for name, property := range s.Properties {
		k.add(name).addProperties(property, root, depth-1)
	}
	for _, part := range slices.Concat(s.AllOf, s.AnyOf, s.OneOf) {
		k.addProperties(part, root, depth-1)
	}
	additional := strings.TrimSpace(string(s.Additional))
	// true is what a schema says that doesn't care; a schema for further keys is what one says of a map.
	if strings.HasPrefix(additional, "{") && additional != "{}" || len(s.Pattern) > 0 {
		k.free = true
	}
}

func (k *keys) addPath(names []string) {
	for i, name := range names {
		k = k.add(name)
		k.taken = k.taken || i+1 < len(names)
	}
}

// markFree frees the places that templates copy as a whole. One known by its last name only, since the template reached it through
// a variable, isn't freed where others take single keys out of it.
func (k *keys) markFree(c copies) {
	for _, p := range c.paths {
		place := k
		for _, name := range p {
			place = place.add(name)
		}
		place.free = true
	}
	k.markNamed(c.names)
}

func (k *keys) markNamed(names map[string]bool) {
	for name, next := range k.children {
		next.free = next.free || names[name] && !next.taken
		next.markNamed(names)
	}
}

func (k *keys) addDependencies(c *chart.Chart) {
	for _, dep := range c.Dependencies() {
		name := dep.Name()
		if c.Metadata != nil {
			for _, listed := range c.Metadata.Dependencies {
				if listed.Name == name && listed.Alias != "" {
					k.add(listed.Alias).merge(chartKeys(dep))
				}
			}
		}
		k.add(name).merge(chartKeys(dep))
	}
	if c.Metadata == nil {
		return
	}
	for _, listed := range c.Metadata.Dependencies {
		k.addConditions(listed.Condition)
		if len(listed.Tags) > 0 {
			k.add("tags").free = true
		}
	}
}

// addConditions takes the keys that switch a dependency: the first that is set counts.
func (k *keys) addConditions(list string) {
	for condition := range strings.SplitSeq(list, ",") {
		if condition = strings.TrimSpace(condition); condition != "" {
			k.addPath(strings.Split(condition, "."))
		}
	}
}

func (k *keys) merge(other *keys) {
	k.free = k.free || other.free
	k.unknown = k.unknown || other.unknown
	for name, next := range other.children {
		k.add(name).merge(next)
	}
}

var (
	action     = regexp.MustCompile(`(?s)\{\{-?(.*?)-?\}\}`)
	valuesPath = regexp.MustCompile(`\.Values((?:\.[A-Za-z0-9_]+)+)`)
	anyPath    = regexp.MustCompile(`\.([A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*)`)
	indexed    = regexp.MustCompile(`index\s+\S+((?:\s+"[^"]+")+)`)
	quoted     = regexp.MustCompile(`"([^"]+)"`)
	dump       = regexp.MustCompile(`\b(toYaml|toJson|toRawJson|toPrettyJson|toToml|omit|pick|merge|mergeOverwrite|mustMerge|mustMergeOverwrite|deepCopy|range|keys|values)\b|"value"`)
	dumpOfDot  = regexp.MustCompile(`\b(toYaml|toJson|toRawJson|toPrettyJson|toToml|range|omit|merge|mergeOverwrite)\b[^.]*\s\(?\.(\s|\)|$)|^\s*(tpl\s+)?\(?\.\s*\|\s*to[A-Z]`)
	blockOpen  = regexp.MustCompile(`^\s*(if|with|range|define|block)\b`)
	blockEnd   = regexp.MustCompile(`^\s*end\b`)
	withBlock  = regexp.MustCompile(`^\s*with\b`)
)

// valuePaths are the full names that a template reads.
func valuePaths(template string) [][]string {
	var paths [][]string
	for _, match := range valuesPath.FindAllStringSubmatch(template, -1) {
		paths = append(paths, strings.Split(strings.TrimPrefix(match[1], "."), "."))
	}
	return paths
}

// copies are the places that templates copy as a whole: whatever a user puts there comes out.
type copies struct {
	paths [][]string      // full names
	names map[string]bool // last names, where a template came there through a variable
}

func (c *copies) read(template string) {
	actions := action.FindAllStringSubmatch(template, -1)
	for i, match := range actions {
		text := match[1]
		if dump.MatchString(text) || withBlock.MatchString(text) && dumpsDot(actions[i+1:]) {
			c.add(text)
		}
	}
}

func (c *copies) add(text string) {
	c.paths = append(c.paths, valuePaths(text)...)
	if c.names == nil {
		c.names = map[string]bool{}
	}
	for _, name := range lastNames(valuesPath.ReplaceAllString(text, "")) {
		c.names[name] = true
	}
}

// dumpsDot is true if the block that these actions begin with copies its dot.
func dumpsDot(actions [][]string) bool {
	depth := 1
	for _, match := range actions {
		switch text := match[1]; {
		case blockEnd.MatchString(text):
			depth--
		case depth == 1 && dumpOfDot.MatchString(text):
			return true
		case blockOpen.MatchString(text):
			depth++
		}
		if depth == 0 {
			return false
		}
	}
	return false
}

func lastNames(text string) []string {
	var names []string
	for _, match := range anyPath.FindAllStringSubmatch(quoted.ReplaceAllString(text, ""), -1) {
		if name := match[1][strings.LastIndex(match[1], ".")+1:]; name != "Values" {
			names = append(names, name)
		}
	}
	for _, match := range indexed.FindAllStringSubmatch(text, -1) {
		all := quoted.FindAllStringSubmatch(match[1], -1)
		names = append(names, all[len(all)-1][1])
	}
	return names
}

// keyDepth is how deep an inventory records keys where the component's values don't go deeper.
const keyDepth = 2

// record gives the keys at every place down to keyDepth and wherever values go, in the inventory's form.
func (k *keys) record(values map[string]any) (map[string]inline, inline) {
	places := map[string]inline{}
	var free inline
	k.recordAt("/", 0, values, places, &free)
	slices.Sort(free)
	return places, free
}

func (k *keys) recordAt(place string, depth int, values map[string]any, places map[string]inline, free *inline) {
	if k.free {
		*free = append(*free, place)
		return
	}
	if len(k.children) == 0 || depth >= keyDepth && values == nil {
		return
	}
	names := slices.Sorted(maps.Keys(k.children))
	places[place] = names
	for _, name := range names {
		below, _ := values[name].(map[string]any)
		k.children[name].recordAt(path.Join(place, escape(name)), depth+1, below, places, free)
	}
}

// escape keeps a slash in a key from looking like a place.
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// recordedKeys turns the inventory's form back.
func recordedKeys(places map[string]inline, free inline) *keys {
	isFree := map[string]bool{}
	for _, place := range free {
		isFree[place] = true
	}
	return recordedAt("/", places, isFree)
}

func recordedAt(place string, places map[string]inline, free map[string]bool) *keys {
	names, ok := places[place]
	if !ok {
		return &keys{free: free[place], unknown: !free[place]}
	}
	k := &keys{}
	for _, name := range names {
		k.add(name).merge(recordedAt(path.Join(place, escape(name)), places, free))
	}
	return k
}
