package platform

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// field is a key that a mapping may have, and what reads its value.
type field struct {
	key      string
	required bool
	read     func(path string, value *yaml.Node)
}

func optional(key string, read func(string, *yaml.Node)) field { return field{key, false, read} }
func required(key string, read func(string, *yaml.Node)) field { return field{key, true, read} }

// keys are the names of fields, in order.
func keys(fields []field) []string {
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.key)
	}
	return names
}

// mapping reads a mapping whose keys are exactly fields: each at most once, required ones at least once.
// path names the mapping in messages; empty is the top level.
func (s source) mapping(path string, n *yaml.Node, fields []field) {
	seen, ok := s.entries(path, n)
	if !ok {
		return
	}
	values := map[string]*yaml.Node{}
	for _, e := range seen {
		values[e.key.Value] = e.value
	}
	for _, f := range fields {
		value, given := values[f.key]
		if given && !isNull(value) {
			f.read(join(path, f.key), value)
		} else if f.required {
			s.add(n.Line, "", "%s needs the key %q", describe(path), f.key)
		}
	}
	known := keys(fields)
	for _, e := range seen {
		if !contains(fields, e.key.Value) {
			s.add(e.key.Line, didYouMean(e.key.Value, known, "known keys"), "unknown key %q in %s", e.key.Value, describe(path))
		}
	}
}

func contains(fields []field, key string) bool {
	for _, f := range fields {
		if f.key == key {
			return true
		}
	}
	return false
}

type entry struct {
	key   *yaml.Node
	value *yaml.Node
}

// entries are a mapping's pairs; doubled and merged keys are findings. It is false for what isn't a mapping.
func (s source) entries(path string, n *yaml.Node) ([]entry, bool) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		s.wrongType(path, n, "a mapping")
		return nil, false
	}
	var list []entry
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		switch line, doubled := first[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			s.add(key.Line, "", "a key in %s must be a string, not %s", describe(path), kindOf(key))
		case key.Tag == "!!merge":
			s.add(key.Line, "write the keys out", "merge keys (<<) are not read in %s", describe(path))
		case doubled:
			s.add(key.Line, "keep one of them", "the key %q in %s is already on line %d", key.Value, describe(path), line)
		default:
			first[key.Value] = key.Line
			list = append(list, entry{key, value})
		}
	}
	return list, true
}

// sequence calls read for every item of a list.
func (s source) sequence(read func(path string, item *yaml.Node)) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode {
			s.wrongType(path, n, "a list")
			return
		}
		for i, item := range n.Content {
			read(fmt.Sprintf("%s[%d]", path, i), resolve(item))
		}
	}
}

// text reads a string.
func (s source) text(target *string) func(string, *yaml.Node) {
	return s.textWith(target, nil)
}

// textWith reads a string and checks it; check gives what is wrong with it, or "".
func (s source) textWith(target *string, check func(string) string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			s.wrongType(path, n, "a string")
			return
		}
		if check != nil {
			if wrong := check(n.Value); wrong != "" {
				s.add(n.Line, "", "%s: %q %s", path, n.Value, wrong)
				return
			}
		}
		*target = n.Value
	}
}

// texts reads a list of strings.
func (s source) texts(target *[]string, check func(string) string) func(string, *yaml.Node) {
	return s.sequence(func(path string, item *yaml.Node) {
		var value string
		s.textWith(&value, check)(path, item)
		if value != "" {
			*target = append(*target, value)
		}
	})
}

// number reads an integer from 1 to limit.
func (s source) number(target *int, limit int) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
			s.wrongType(path, n, "a whole number")
			return
		}
		value, err := strconv.Atoi(n.Value)
		if err != nil || value < 1 || value > limit {
			s.add(n.Line, "", "%s: %s is not between 1 and %d", path, n.Value, limit)
			return
		}
		*target = value
	}
}

// boolean reads true or false. YAML 1.1's yes, no, on and off are refused: Helm and YAML 1.2 disagree about them.
func (s source) boolean(target *bool) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		var value bool
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || n.Decode(&value) != nil {
			s.wrongType(path, n, "true or false")
			return
		}
		*target = value
	}
}

// duration reads a positive Go duration such as 90s or 5m.
func (s source) duration(target *time.Duration) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		value, err := time.ParseDuration(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || value <= 0 || value > 24*time.Hour {
			s.add(n.Line, "write it as 90s or 5m, at most 24h", "%s: %s is no duration", path, show(n))
			return
		}
		*target = value
	}
}

// stringMap reads a mapping of strings; check gives what is wrong with a pair, or "".
func (s source) stringMap(target *map[string]string, check func(key, value string) string) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		list, _ := s.entries(path, n)
		values := make(map[string]string, len(list))
		for _, e := range list {
			var value string
			s.textWith(&value, func(v string) string { return check(e.key.Value, v) })(join(path, e.key.Value), e.value)
			values[e.key.Value] = value
		}
		*target = values
	}
}

// object reads a mapping as JSON-like values (map[string]any, []any, string, int64, float64, bool, nil), as unstructured objects want them.
func (s source) object(target *map[string]any) func(string, *yaml.Node) {
	return func(path string, n *yaml.Node) {
		if n.Kind != yaml.MappingNode {
			s.wrongType(path, n, "a mapping")
			return
		}
		if value, ok := s.anything(path, n).(map[string]any); ok {
			*target = value
		}
	}
}

func (s source) anything(path string, n *yaml.Node) any {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		values := map[string]any{}
		list, _ := s.entries(path, n)
		for _, e := range list {
			values[e.key.Value] = s.anything(join(path, e.key.Value), e.value)
		}
		return values
	case yaml.SequenceNode:
		values := make([]any, 0, len(n.Content))
		for i, item := range n.Content {
			values = append(values, s.anything(fmt.Sprintf("%s[%d]", path, i), item))
		}
		return values
	default:
		return s.scalar(path, n)
	}
}

func (s source) scalar(path string, n *yaml.Node) any {
	switch n.Tag {
	case "!!str", "!!timestamp":
		return n.Value
	case "!!null":
		return nil
	}
	var value any
	if err := n.Decode(&value); err != nil {
		s.add(n.Line, "", "%s: %v", path, err)
		return nil
	}
	switch v := value.(type) {
	case bool:
		return v
	case int:
		return int64(v)
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	}
	s.add(n.Line, "quote it if it is meant as a string", "%s: %s has no JSON form", path, n.Value)
	return nil
}

func (s source) wrongType(path string, n *yaml.Node, want string) {
	hint := ""
	if want == "a string" && n.Kind == yaml.ScalarNode && n.Tag != "!!null" {
		hint = fmt.Sprintf("quote it: %q", n.Value)
	}
	s.add(n.Line, hint, "%s must be %s, not %s", describe(path), want, show(n))
}

// show is a value as messages print it: a scalar as it stands, anything else by its kind.
func show(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return kindOf(n)
	}
	if n.Tag == "!!str" {
		return strconv.Quote(n.Value)
	}
	return n.Value
}

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	default:
		return "a scalar"
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func describe(path string) string {
	if path == "" {
		return "the top level"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
