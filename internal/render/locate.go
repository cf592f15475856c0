package render

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Place is what tells an object from the others of its component in Locate's answer.
type Place struct{ Kind, Namespace, Name string }

// Locate says which template made each object: the path below the component's folder, as Helm notes it. Namespaces are as the templates
// wrote them. It renders anew, since objects don't keep where they came from; what can't be told is left out.
func Locate(ctx context.Context, r Request) (map[Place]string, error) {
	manifest, err := template(ctx, r)
	if err != nil {
		return nil, explain(r, err)
	}
	const source = "# Source: "
	places := map[Place]string{}
	documents := kubeyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return places, nil
		}
		if err != nil {
			return nil, explain(r, fmt.Errorf("rendered manifests: %w", err))
		}
		_, rest, found := bytes.Cut(text, []byte(source))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		// The first folder is the chart's own name.
		_, path, nested := strings.Cut(string(line), "/")
		var meta struct {
			Kind     string
			Metadata struct{ Namespace, Name string }
		}
		if found && nested && yaml.Unmarshal(text, &meta) == nil {
			places[Place{meta.Kind, meta.Metadata.Namespace, meta.Metadata.Name}] = path
		}
	}
}
