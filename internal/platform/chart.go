package platform

import (
	"io/fs"
	"path"
	"strings"

	"github.com/Masterminds/semver/v3"
	"go.yaml.in/yaml/v3"
)

// readChart reads and checks the Chart.yaml of the component in folder.
func readChart(fsys fs.FS, folder string, out *findings) ChartFile {
	s := source{path.Join(folder, "Chart.yaml"), out}
	var chart ChartFile
	n := s.root(fsys, "every component has one")
	if n == nil {
		return chart
	}
	s.mapping("", n, s.chartFields(&chart, path.Base(folder)))
	s.takeLibraries(fsys, folder, &chart)
	return chart
}

const localScheme = "file://"

// takeLibraries moves the charts of this checkout out of the dependencies that have to be got.
func (s source) takeLibraries(fsys fs.FS, folder string, chart *ChartFile) {
	var upstream []Dependency
	for _, d := range chart.Dependencies {
		relative, local := strings.CutPrefix(d.Repository, localScheme)
		if !local {
			upstream = append(upstream, d)
			continue
		}
		library := Library{Name: d.Name, Path: path.Join(folder, relative)}
		if !isLibrary(fsys, library.Path) {
			s.add(d.Line, "point it to a folder of this checkout whose Chart.yaml says type: library", "the library chart %q isn't in %s", d.Name, library.Path)
			continue
		}
		chart.Libraries = append(chart.Libraries, library)
	}
	chart.Dependencies = upstream
}

// isLibrary is true for the folder of a library chart, which is no component: nothing installs it.
func isLibrary(fsys fs.FS, folder string) bool {
	content, err := fs.ReadFile(fsys, path.Join(folder, "Chart.yaml"))
	if err != nil {
		return false
	}
	var meta struct{ Type string }
	return yaml.Unmarshal(content, &meta) == nil && meta.Type == "library"
}

// chartFields are the keys that Helm knows in a Chart.yaml of its second API version.
func (s source) chartFields(c *ChartFile, folder string) []field {
	var ignored string
	return []field{
		required("apiVersion", s.oneOf(&ignored, "v2")),
		required("name", s.textWith(&c.Name, func(name string) string {
			if name != folder {
				return "is not the name of its folder, " + folder
			}
			return notReleaseName(name)
		})),
		required("version", s.textWith(&c.Version, notExact)),
		optional("appVersion", s.text(&c.AppVersion)),
		optional("kubeVersion", s.text(&ignored)),
		optional("description", s.text(&ignored)),
		optional("type", s.oneOf(&ignored, "application")),
		optional("keywords", s.unread),
		optional("home", s.text(&ignored)),
		optional("sources", s.unread),
		optional("icon", s.text(&ignored)),
		optional("deprecated", s.unread),
		optional("maintainers", s.unread),
		optional("annotations", s.unread),
		optional("dependencies", s.dependencies(&c.Dependencies)),
	}
}

// unread leaves a value to Helm.
func (s source) unread(string, *yaml.Node) {}

func (s source) dependencies(target *[]Dependency) func(string, *yaml.Node) {
	first := map[string]int{}
	return s.sequence(func(path string, n *yaml.Node) {
		d := Dependency{Line: n.Line}
		s.mapping(path, n, s.dependencyFields(&d))
		name := d.Name
		if d.Alias != "" {
			name = d.Alias
		}
		if line, doubled := first[name]; doubled && name != "" {
			s.add(n.Line, "give one of them an alias", "%s: %q is already on line %d", path, name, line)
		}
		first[name] = n.Line
		*target = append(*target, d)
	})
}

func (s source) dependencyFields(d *Dependency) []field {
	return []field{
		required("name", s.text(&d.Name)),
		required("version", s.textWith(&d.Version, notExact)),
		required("repository", s.textWith(&d.Repository, notRepository)),
		optional("alias", s.text(&d.Alias)),
		optional("condition", s.text(&d.Condition)),
		optional("tags", s.unread),
		optional("import-values", s.unread),
	}
}

// notExact refuses ranges and shortened versions: the version of anything stands in one place, exactly.
func notExact(value string) string {
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(value, "v")); err != nil {
		return "is no exact version such as 1.2.3"
	}
	return ""
}

func notRepository(value string) string {
	for _, scheme := range []string{"https://", "oci://", "http://", localScheme} {
		if strings.HasPrefix(value, scheme) && len(value) > len(scheme) {
			return ""
		}
	}
	return "is no chart repository: https://…, oci://… or, for a library of this checkout, file://…"
}
