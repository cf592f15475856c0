package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ExceptionsFile lies in a component's folder and lists what lint lets pass there, each entry with a reason.
const ExceptionsFile = "lint.yaml"

// Exception lets a finding of one rule on the objects of a component pass.
type Exception struct {
	App     string // the component's Application
	File    string // repo-relative, with slashes
	Line    int
	Rule    string
	Kind    string // a glob, as path.Match has it
	Name    string // a glob
	Reason  string // empty where the file gives none, which lint reports
	Expires time.Time
}

// ReadExceptions reads the exceptions of a component; a component without the file has none. Whether they name a rule, give a reason
// and match something is lint's to say.
func ReadExceptions(fsys fs.FS, c Component) ([]Exception, error) {
	out := &findings{}
	s := source{path.Join(c.Path, ExceptionsFile), out}
	if _, err := fs.Stat(fsys, s.file); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	n := s.root(fsys, "")
	if n == nil {
		return nil, out.err()
	}
	var list []Exception
	s.sequence(func(at string, item *yaml.Node) {
		e := Exception{App: c.App, File: s.file, Line: item.Line}
		s.mapping(at, item, s.exceptionFields(&e))
		list = append(list, e)
	})("", resolve(n))
	return list, out.err()
}

func (s source) exceptionFields(e *Exception) []field {
	var object string
	return []field{
		required("rule", s.text(&e.Rule)),
		required("object", func(at string, n *yaml.Node) {
			s.textWith(&object, notObjectGlob)(at, n)
			e.Kind, e.Name, _ = strings.Cut(object, "/")
		}),
		optional("reason", s.text(&e.Reason)),
		optional("expires", s.date(&e.Expires)),
	}
}

// notObjectGlob wants "<kind>/<name>", both with * where they may be anything.
func notObjectGlob(value string) string {
	kind, name, ok := strings.Cut(value, "/")
	if !ok || kind == "" || name == "" {
		return `is no object such as DaemonSet/node-exporter or Deployment/argocd-*`
	}
	for _, glob := range []string{kind, name} {
		if _, err := path.Match(glob, ""); err != nil {
			return fmt.Sprintf("has a glob that can't be read: %q", glob)
		}
	}
	return ""
}

// date reads a day, which YAML takes for a timestamp where it isn't quoted.
func (s source) date(target *time.Time) func(string, *yaml.Node) {
	return func(at string, n *yaml.Node) {
		day, err := time.Parse(time.DateOnly, n.Value)
		if n.Kind != yaml.ScalarNode || err != nil {
			s.add(n.Line, "write it as 2027-01-31", "%s: %s is no date", at, show(n))
			return
		}
		*target = day
	}
}
