// Package dagger plays an engine to the module: it builds the module's program, calls its functions as an engine does, and answers
// its GraphQL from a record. What a function would have an engine do stands in the queries.
package dagger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// call is one call of a function of the module.
type call struct {
	function string
	args     map[string]any
	site     map[string]any    // what New was given, where it differs from the test's own
	answers  []answer          // the record: the one that fits best is given
	fails    map[string]string // parts of a query's path that make the engine answer with an error
}

// answer is the value of a field whose path holds all of the texts; of several, that with the last text nearest to the field.
type answer struct {
	field string
	with  []string
	value string
}

// result is what came of a call.
type result struct {
	returned string   // JSON
	failed   string   // message of the error
	asked    []string // every path that was asked for, in order
}

// path finds the one path that ends in field and holds all texts.
func (r result) path(t *testing.T, field string, with ...string) string {
	t.Helper()
	for _, p := range r.asked {
		if ends(p, field) && containsAll(p, with) {
			return p
		}
	}
	require.Failf(t, "nothing like it was asked for", "%s with %q", field, with)
	return ""
}

func ends(path, field string) bool { return strings.HasSuffix(path, "."+field) }

func containsAll(s string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(s, part) })
}

// engine answers queries. The id of an object is the path that it was asked for by, so that a path tells all that went into it.
type engine struct {
	call call
	mu   sync.Mutex
	result
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Query     string
		Variables map[string]any
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	document, err := parser.ParseQuery(&ast.Source{Input: request.Query})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	data, failure := e.resolve("", document.Operations[0].SelectionSet)
	response := map[string]any{"data": data}
	if failure != nil {
		response = map[string]any{"errors": []map[string]any{{"message": failure.Error()}}}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(response)
}

func (e *engine) resolve(path string, selections ast.SelectionSet) (any, error) {
	data := map[string]any{}
	for _, selection := range selections {
		field := selection.(*ast.Field)
		at := path + "." + field.Name + arguments(field.Arguments)
		if id := field.Arguments.ForName("id"); id != nil && strings.HasPrefix(field.Name, "load") {
			at = id.Value.Raw
		}
		value, err := e.value(at, field)
		if err != nil {
			return nil, err
		}
		data[field.Name] = value
	}
	return data, nil
}

func (e *engine) value(path string, field *ast.Field) (any, error) {
	if value, ok := e.protocol(path, field); ok {
		return value, nil
	}
	if len(field.SelectionSet) > 0 {
		return e.resolve(path, field.SelectionSet)
	}
	e.asked = append(e.asked, path)
	for part, message := range e.call.fails {
		if strings.Contains(path, part) && !strings.Contains(path, ".error(") {
			return nil, errors.New(message)
		}
	}
	if field.Name == "id" || field.Name == "start" || field.Name == "sync" {
		return strings.TrimSuffix(strings.TrimSuffix(path, ".id"), ".start"), nil
	}
	// What a path was made from stands in it too, at its beginning or in arguments: the answer is to its last step.
	best, value := -1, ""
	for _, a := range e.call.answers {
		if a.field == field.Name && containsAll(path, a.with) {
			if at := strings.LastIndex(path, a.with[len(a.with)-1]); at > best {
				best, value = at, a.value
			}
		}
	}
	return value, nil
}

// protocol answers what a module asks about its call, and takes what it returns.
func (e *engine) protocol(path string, field *ast.Field) (any, bool) {
	const current = ".currentFunctionCall"
	switch {
	case path == current+".parentName":
		return "Idp", true
	case path == current+".name":
		return e.call.function, true
	case path == current+".parent":
		return e.parent(), true
	case path == current+".inputArgs":
		list := []map[string]string{}
		for name := range e.call.args {
			list = append(list, map[string]string{"id": "argument:" + name})
		}
		return list, true
	case strings.HasPrefix(path, "argument:"):
		name := strings.TrimPrefix(path, "argument:")
		value, _ := json.Marshal(e.call.args[name])
		return map[string]any{"name": name, "value": string(value)}, true
	case field.Name == "returnValue":
		e.returned = field.Arguments.ForName("value").Value.Raw
		return nil, true
	case field.Name == "returnError":
		e.failed = field.Arguments.ForName("error").Value.Raw
		return nil, true
	}
	return nil, false
}

func (e *engine) parent() string {
	site := map[string]any{"Source": "SOURCE", "Code": "CODE", "ControlPlane": "CONTROLPLANE", "Tools": "TOOLS", "Tests": "TESTS", "Mirror": "", "GoProxy": "", "Name": "demo", "Strict": false}
	for key, value := range e.call.site {
		site[key] = value
	}
	text, _ := json.Marshal(site)
	return string(text)
}

func arguments(list ast.ArgumentList) string {
	if len(list) == 0 {
		return ""
	}
	var parts []string
	for _, a := range list {
		parts = append(parts, a.Name+": "+text(a.Value))
	}
	slices.Sort(parts) // the client sends them in any order
	return "(" + strings.Join(parts, ", ") + ")"
}

func text(v *ast.Value) string {
	if len(v.Children) == 0 {
		return v.Raw
	}
	var parts []string
	for _, c := range v.Children {
		parts = append(parts, text(c.Value))
	}
	return "[" + strings.Join(parts, " ") + "]"
}

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "idp-module-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "module")
	out, err := exec.Command("go", "build", "-o", file, "../..").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// run calls a function of the module.
func run(t *testing.T, c call) result {
	t.Helper()
	file, err := program()
	require.NoError(t, err)
	e := &engine{call: c}
	server := httptest.NewServer(e)
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), file)
	cmd.Env = []string{"DAGGER_SESSION_PORT=" + port, "DAGGER_SESSION_TOKEN=token", "HOME=" + t.TempDir()}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	var exit *exec.ExitError
	require.True(t, err == nil || errors.As(err, &exit), "%v", err)
	require.True(t, e.returned != "" || e.failed != "", "the module neither returned nor failed: %s", out.String())
	return e.result
}
