package simulator

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlaceholders(t *testing.T) {
	tests := map[string]struct {
		spec     string
		existing map[string][]byte
		fixed    map[string]string // keys whose value is known
		random   []string          // keys that get a made-up one
	}{
		"one key":          {spec: `{"data":[{"secretKey":"password"}]}`, random: []string{"password"}},
		"a key it has":     {spec: `{"data":[{"secretKey":"password"}]}`, existing: map[string][]byte{"password": []byte("kept")}, fixed: map[string]string{"password": "kept"}},
		"generator":        {spec: `{"dataFrom":[{"sourceRef":{"generatorRef":{"kind":"Password"}}}]}`, random: []string{"password"}},
		"unknown keys":     {spec: `{"dataFrom":[{"extract":{"key":"team/db"}}]}`, fixed: map[string]string{"simulated": "the keys of team/db aren't known"}},
		"templated":        {spec: `{"data":[{"secretKey":"user"}],"target":{"template":{"data":{"url":"postgres://{{ .user | upper }}@db","kind":"pg"}}}}`, existing: map[string][]byte{"user": []byte("u")}, fixed: map[string]string{"url": "postgres://U@db", "kind": "pg"}},
		"merged":           {spec: `{"data":[{"secretKey":"user"}],"target":{"template":{"mergePolicy":"Merge","data":{"kind":"pg"}}}}`, fixed: map[string]string{"kind": "pg"}, random: []string{"user"}},
		"no such source":   {spec: `{"target":{"template":{"data":{"url":"{{ .user }}"}}}}`, random: []string{"url"}},
		"no such function": {spec: `{"target":{"template":{"data":{"jks":"{{ pkcs12key .a }}"}}}}`, random: []string{"jks"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var spec externalSpec
			require.NoError(t, json.Unmarshal([]byte(tt.spec), &spec))
			got, err := spec.placeholders(tt.existing)
			require.NoError(t, err)
			require.Len(t, got, len(tt.fixed)+len(tt.random))
			for k, v := range tt.fixed {
				require.Equal(t, v, string(got[k]))
			}
			for _, k := range tt.random {
				require.Regexp(t, "^[a-z0-5]{32}$", string(got[k]))
			}
			again, err := spec.placeholders(got)
			require.NoError(t, err)
			for k := range got {
				require.Equal(t, string(got[k]), string(again[k]), "values stay")
			}
		})
	}
}
