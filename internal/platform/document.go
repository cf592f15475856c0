package platform

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxFile  = 1 << 20 // bytes; far above any file people write by hand
	maxNodes = 50_000  // nodes with aliases followed, so that a few lines of anchors can't grow without bound
	maxDepth = 100
)

// source is one YAML file of the checkout, and where its findings go.
type source struct {
	file string
	out  *findings
}

func (s source) add(line int, hint, format string, args ...any) {
	s.out.add(&InputError{File: s.file, Line: line, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// root gives the one document of the file, or nil after saying what is wrong with it.
// missing is the hint for a file that isn't there.
func (s source) root(fsys fs.FS, missing string) *yaml.Node {
	data, err := readBounded(fsys, s.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.add(0, missing, "no such file")
	case errors.Is(err, errTooLarge):
		s.add(0, "is it the right file?", "larger than %d KiB", maxFile>>10)
	case err != nil:
		s.add(0, "", "can't be read: %v", err)
	default:
		return s.parse(data)
	}
	return nil
}

// errTooLarge says that a file is larger than maxFile.
var errTooLarge = errors.New("file too large")

func readBounded(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, errTooLarge
	}
	return data, nil
}

func (s source) parse(data []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); err != nil {
		s.syntax(data, err)
		return nil
	}
	content := document.Content[0]
	if content.Kind == yaml.ScalarNode && content.Tag == "!!null" {
		s.empty()
		return nil
	}
	if err := decoder.Decode(&second); err == nil {
		s.add(second.Line, "keep one document in this file", "a second YAML document starts here")
		return nil
	} else if !errors.Is(err, io.EOF) {
		s.syntax(data, err)
		return nil
	}
	if !s.bounded(content) {
		return nil
	}
	return content
}

func (s source) empty() {
	s.add(0, "restore it, or write what it should say", "the file is empty")
}

func (s source) syntax(data []byte, err error) {
	if errors.Is(err, io.EOF) {
		s.empty()
		return
	}
	if line := tabLine(data); line > 0 {
		s.add(line, "indent with spaces", "a tab in the indentation")
		return
	}
	line, msg := splitLine(err)
	s.add(line, "", "not valid YAML: %s", msg)
}

// tabLine gives the first line whose indentation has a tab; 0 for none.
func tabLine(data []byte) int {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if bytes.ContainsRune(indent, '\t') {
			return number
		}
	}
	return 0
}

// splitLine takes the line number out of the parser's message ("yaml: line 3: did not find …").
func splitLine(err error) (int, string) {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	parts := regexp.MustCompile(`^line (\d+): (?s)(.*)$`).FindStringSubmatch(msg)
	if parts == nil {
		return 0, msg
	}
	line, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0, msg
	}
	return line, parts[2]
}

// bounded says whether the document stays within maxNodes and maxDepth when its aliases are followed.
func (s source) bounded(root *yaml.Node) bool {
	left := maxNodes
	var walk func(n *yaml.Node, depth int) bool
	walk = func(n *yaml.Node, depth int) bool {
		left--
		if left < 0 || depth > maxDepth {
			return false
		}
		if n.Kind == yaml.AliasNode {
			return walk(n.Alias, depth+1)
		}
		for _, child := range n.Content {
			if !walk(child, depth+1) {
				return false
			}
		}
		return true
	}
	if walk(root, 0) {
		return true
	}
	s.add(root.Line, "write it out without anchors", "the document is too deep or too large once its aliases are followed")
	return false
}

// resolve follows an alias to the node it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}
