package simulator

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// externalSpec is the part of an ExternalSecret's spec that decides the keys of its Secret.
type externalSpec struct {
	Data []struct {
		SecretKey string `json:"secretKey"`
	} `json:"data"`
	DataFrom []struct {
		Extract *struct {
			Key string `json:"key"`
		} `json:"extract"`
		SourceRef *struct {
			GeneratorRef *struct {
				Kind string `json:"kind"`
			} `json:"generatorRef"`
		} `json:"sourceRef"`
	} `json:"dataFrom"`
	Target struct {
		Name     string `json:"name"`
		Template *struct {
			MergePolicy string            `json:"mergePolicy"`
			Data        map[string]string `json:"data"`
		} `json:"template"`
	} `json:"target"`
}

// placeholderLength is the length of a made-up value, long enough for the keys and passwords that charts check the length of.
const placeholderLength = 32

// placeholders gives every key of the Secret a value: the one it has, or a random one. A templated key is rendered from
// placeholders too, so that a connection string keeps its shape.
func (s externalSpec) placeholders(existing map[string][]byte) (map[string][]byte, error) {
	sources := map[string]string{}
	var failed error
	random := func(key string) string {
		if v, ok := existing[key]; ok {
			return string(v)
		}
		v, err := randomText(placeholderLength)
		if err != nil {
			failed = err
		}
		return v
	}
	for _, d := range s.Data {
		sources[d.SecretKey] = random(d.SecretKey)
	}
	for _, d := range s.DataFrom {
		if d.SourceRef != nil && d.SourceRef.GeneratorRef != nil {
			sources["password"] = random("password") // what the Password generator calls it
		}
		if d.Extract != nil && len(s.Data) == 0 && s.Target.Template == nil {
			// Which keys the store would bring isn't known here; one says so.
			sources["simulated"] = "the keys of " + d.Extract.Key + " aren't known"
		}
	}
	out := map[string][]byte{}
	t := s.Target.Template
	if t == nil || len(t.Data) == 0 || t.MergePolicy == "Merge" {
		for k, v := range sources {
			out[k] = []byte(v)
		}
	}
	if t != nil {
		for key, text := range t.Data {
			if v, ok := existing[key]; ok {
				out[key] = v
				continue
			}
			out[key] = renderSecret(text, sources, random)
		}
	}
	return out, failed
}

// renderSecret renders one templated value. What it can't render, such as a function of External Secrets' own, becomes a random
// value: nothing reads it but a consumer that doesn't run.
func renderSecret(text string, sources map[string]string, random func(string) string) []byte {
	data := map[string]string{}
	for k, v := range sources {
		data[k] = v
	}
	parsed, err := template.New("value").Option("missingkey=error").Funcs(sprig.TxtFuncMap()).Parse(text)
	if err != nil {
		return []byte(random(""))
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return []byte(random(""))
	}
	return out.Bytes()
}

// randomText returns n characters of a-z and 0-9.
func randomText(n int) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyz012345" // 32 of them: a byte's low five bits pick one evenly
	raw := make([]byte, n)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("draw a random value: %w", err)
	}
	for i, b := range raw {
		raw[i] = letters[b&31]
	}
	return string(raw), nil
}
