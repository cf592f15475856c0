package render

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"helm.sh/helm/v3/pkg/chartutil"
)

// Error is what went wrong with a component's render.
type Error struct {
	App  string // the component's Application
	File string // the template, from the component's folder; empty where none is to blame
	Line int    // 1-based; 0 for none
	Msg  string
	Hint string // what to do; may be empty
	Err  error  // what Helm said
}

// Error gives "app: file:line: message; hint".
func (e *Error) Error() string {
	text := e.App + ": "
	if e.File != "" {
		text += e.File
		if e.Line > 0 {
			text += fmt.Sprintf(":%d", e.Line)
		}
		text += ": "
	}
	text += e.Msg
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap gives what Helm said.
func (e *Error) Unwrap() error { return e.Err }

// explain turns Helm's errors into ours.
func explain(r Request, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("render %s: %w", r.App, err)
	}
	e := &Error{App: r.App, Msg: strings.TrimSpace(err.Error()), Err: err}
	switch {
	case errors.Is(err, errMissingDependency):
		_, names, _ := strings.Cut(e.Msg, "charts/ directory: ")
		e.Msg = "charts/ doesn't hold " + names
		e.Hint = "run idp charts pull " + r.App
	case isSchemaError(err):
		e.Msg = "its values don't meet the chart's schema: " + oneLine(e.Msg)
		e.Hint = "change its values.yaml or platform.yaml"
	case strings.HasPrefix(e.Msg, "YAML parse error on "):
		explainYAML(e)
	default:
		explainTemplate(e)
	}
	return e
}

func isSchemaError(err error) bool {
	return strings.HasPrefix(err.Error(), "values don't meet the specifications of the schema")
}

// oneLine joins the lines of a schema report, without its heading.
func oneLine(msg string) string {
	lines := strings.Split(msg, "\n")
	var kept []string
	for _, line := range lines[1:] {
		if line = strings.TrimSpace(line); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, " ")
}

// explainYAML is for a template that gives something else than YAML. The line that Helm knows is one of the template's output.
func explainYAML(e *Error) {
	rest := strings.TrimPrefix(e.Msg, "YAML parse error on ")
	file, msg, found := strings.Cut(rest, ": ")
	if !found {
		return
	}
	e.File = inComponent(file)
	e.Msg = "gives no valid YAML: " + strings.TrimPrefix(msg, "error converting YAML to JSON: yaml: ")
	e.Hint = "the line counts in what the template gives, from the document's start"
}

// explainTemplate finds the template and line in "template: chart/templates/x.yaml:3:5: executing …",
// "execution error at (chart/templates/x.yaml:3:5): …" and "parse error at (chart/templates/x.yaml:3): …".
// Where templates include one another Helm gives a chain of such places; the last one is where it happened.
func explainTemplate(e *Error) {
	places := regexp.MustCompile(`(?:template: |at \()([^\s:()]+\.[^\s:()]+):(\d+)(?::\d+)?\)?: `).FindAllStringSubmatchIndex(e.Msg, -1)
	if places == nil {
		return
	}
	last := places[len(places)-1]
	e.File = inComponent(e.Msg[last[2]:last[3]])
	e.Line, _ = strconv.Atoi(e.Msg[last[4]:last[5]])
	e.Msg = reason(e.Msg[last[1]:])
}

// reason leaves out `executing "chart/templates/x.yaml" at <.Values.a>: `, but for the expression.
func reason(msg string) string {
	parts := regexp.MustCompile(`^executing "[^"]*" at (<.*?>): (?s)(.*)$`).FindStringSubmatch(msg)
	if parts == nil {
		return msg
	}
	return fmt.Sprintf("%s: %s", parts[1], parts[2])
}

// inComponent makes Helm's name of a template, which starts with the chart's name, a path from the component's folder.
func inComponent(name string) string {
	_, path, found := strings.Cut(name, "/")
	if !found {
		return name
	}
	if strings.HasPrefix(path, "templates/") || strings.HasPrefix(path, "charts/") || path == chartutil.ValuesfileName {
		return path
	}
	return name
}
