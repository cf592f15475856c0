package platform

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// LayersFile lists the layers in boot order.
	LayersFile = "IT/layers.yaml"

	layersFolder   = "IT"
	defaultTimeout = 5 * time.Minute
)

// listed is a layer as layers.yaml has it, with the lines that messages need.
type listed struct {
	Layer
	line  int
	needs []need
}

type need struct {
	name string
	line int
}

// readLayers reads layers.yaml and checks every layer for itself; what they need of one another is checkGraph's.
func readLayers(fsys fs.FS, out *findings) []listed {
	s := source{LayersFile, out}
	n := s.root(fsys, "it lists the layers in boot order; restore it")
	if n == nil {
		return nil
	}
	var layers []listed
	s.sequence(func(_ string, item *yaml.Node) {
		layers = append(layers, s.layer(item))
	})("", resolve(n))
	layers = s.distinct(layers)
	for _, l := range layers {
		for i := range l.Gates {
			if g := &l.Gates[i]; g.seeded != "" {
				g.Seeded = readSecrets(fsys, path.Join(l.Path, g.seeded), out)
			}
		}
	}
	return layers
}

func notFileName(value string) string {
	if value == "" || path.Base(value) != value || value == ".." {
		return "is no name of a file in the layer's folder"
	}
	return ""
}

func (s source) layer(n *yaml.Node) listed {
	l := listed{line: n.Line}
	name := nameOf(n)
	s.mapping(strings.TrimSpace("layer "+name), n, s.layerFields(&l))
	l.App = l.Name
	l.Path = path.Join(layersFolder, l.Name)
	for _, item := range l.needs {
		l.Needs = append(l.Needs, item.name)
	}
	for _, g := range l.Gates {
		if g.Every != nil {
			g.Every.Namespace = l.Namespace
		}
	}
	if l.Timeout == 0 {
		l.Timeout = defaultTimeout
	}
	return l
}

// nameOf is the layer's name for messages, before anything is known to be right.
func nameOf(n *yaml.Node) string {
	if n.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == "name" {
			return resolve(n.Content[i+1]).Value
		}
	}
	return ""
}

func (s source) layerFields(l *listed) []field {
	return []field{
		required("name", s.textWith(&l.Name, notReleaseName)),
		required("namespace", s.textWith(&l.Namespace, notLabel)),
		optional("needs", s.needs(&l.needs)),
		optional("timeout", s.duration(&l.Timeout)),
		optional("handover", s.boolean(&l.HandOver)),
		optional("gates", s.sequence(func(path string, n *yaml.Node) {
			g := Gate{Line: n.Line}
			s.gate(path, n, &g)
			l.Gates = append(l.Gates, g)
		})),
	}
}

func (s source) needs(target *[]need) func(string, *yaml.Node) {
	return s.sequence(func(path string, n *yaml.Node) {
		item := need{line: n.Line}
		s.text(&item.name)(path, n)
		for _, earlier := range *target {
			if earlier.name == item.name && item.name != "" {
				s.add(n.Line, "name it once", "%s: %q is already on line %d", path, item.name, earlier.line)
				return
			}
		}
		if item.name != "" {
			*target = append(*target, item)
		}
	})
}

// gate reads one gate, which must be of exactly one kind.
func (s source) gate(path string, n *yaml.Node, g *Gate) {
	fields := s.gateFields(g)
	s.mapping(path, n, fields)
	if n.Kind != yaml.MappingNode {
		return
	}
	var given, unknown []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch key := n.Content[i].Value; {
		case !contains(fields, key):
			unknown = append(unknown, key)
		case !isNull(n.Content[i+1]):
			given = append(given, key)
		}
	}
	switch {
	case len(given)+len(unknown) == 0:
		s.add(n.Line, "give it one of "+strings.Join(keys(fields), ", "), "%s is empty", path)
	case len(given) > 1:
		s.add(n.Line, "make it two gates", "%s has two kinds: %s", path, strings.Join(given, " and "))
	}
}

func (s source) gateFields(g *Gate) []field {
	return []field{
		optional("established", s.established(&g.Established)),
		optional("condition", func(path string, n *yaml.Node) {
			g.Condition = &Condition{Status: "True"}
			s.mapping(path, n, s.conditionFields(g.Condition))
		}),
		optional("every", func(path string, n *yaml.Node) {
			g.Every = &Condition{Status: "True"}
			s.mapping(path, n, s.everyFields(g.Every))
		}),
		optional("dryRun", func(path string, n *yaml.Node) {
			s.object(&g.DryRun)(path, n)
			s.checkObject(path, n, g.DryRun)
		}),
		optional("seeded", s.textWith(&g.seeded, notFileName)),
	}
}

func (s source) established(target *[]string) func(string, *yaml.Node) {
	read := s.texts(target, notDomain)
	return func(path string, n *yaml.Node) {
		read(path, n)
		if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
			s.add(n.Line, "name CustomResourceDefinitions such as certificates.cert-manager.io", "%s is empty", path)
		}
	}
}

func (s source) conditionFields(c *Condition) []field {
	return append(s.everyFields(c),
		optional("namespace", s.textWith(&c.Namespace, notLabel)),
		required("name", s.textWith(&c.Name, notDomain)),
	)
}

func (s source) everyFields(c *Condition) []field {
	return []field{
		required("apiVersion", s.text(&c.APIVersion)),
		required("kind", s.text(&c.Kind)),
		required("type", s.text(&c.Type)),
		optional("status", s.oneOf(&c.Status, "True", "False", "Unknown")),
	}
}

// checkObject wants what every object needs to be sent to an API server.
func (s source) checkObject(path string, n *yaml.Node, object map[string]any) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for _, key := range []string{"apiVersion", "kind"} {
		if text, _ := object[key].(string); text == "" {
			s.add(n.Line, "", "%s needs the key %q", path, key)
		}
	}
	metadata, _ := object["metadata"].(map[string]any)
	if name, _ := metadata["name"].(string); name == "" {
		s.add(n.Line, "", `%s needs the key "metadata.name"`, path)
	}
}

// distinct drops layers without a name and those whose name is taken.
func (s source) distinct(layers []listed) []listed {
	first := map[string]int{}
	var kept []listed
	for _, l := range layers {
		if l.Name == "" {
			continue
		}
		if line, doubled := first[l.Name]; doubled {
			s.add(l.line, "give each layer a name of its own", "the layer %q is already on line %d", l.Name, line)
			continue
		}
		first[l.Name] = l.line
		kept = append(kept, l)
	}
	return kept
}

// notReleaseName is Helm's rule for release names, which layers and components are.
func notReleaseName(value string) string {
	const helmLimit = 53
	if len(value) > helmLimit {
		return fmt.Sprintf("is longer than the %d characters of a Helm release name", helmLimit)
	}
	return notLabel(value)
}
