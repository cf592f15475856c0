package platform

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKey(t *testing.T) {
	gates := []Gate{{Established: []string{"a.b.io"}, Line: 3}}
	key := Key("1", []byte("objects"), gates, []string{"k1", "k2"})
	require.Equal(t, "cc8abd86f54e674f15a05512316b4c11", key)
	require.Equal(t, key, Key("1", []byte("objects"), []Gate{{Established: []string{"a.b.io"}, Line: 9}}, []string{"k1", "k2"}), "lines don't count")

	others := map[string]string{
		"schema":       Key("2", []byte("objects"), gates, []string{"k1", "k2"}),
		"rendered":     Key("1", []byte("object"), gates, []string{"k1", "k2"}),
		"no gates":     Key("1", []byte("objects"), nil, []string{"k1", "k2"}),
		"gate":         Key("1", []byte("objects"), []Gate{{Condition: &Condition{Kind: "X"}}}, []string{"k1", "k2"}),
		"not JSON":     Key("1", []byte("objects"), []Gate{{DryRun: map[string]any{"a": math.NaN()}}}, []string{"k1", "k2"}),
		"needs' order": Key("1", []byte("objects"), gates, []string{"k2", "k1"}),
		"needs":        Key("1", []byte("objects"), gates, []string{"k1"}),
		"joined needs": Key("1", []byte("objects"), gates, []string{"k1k2"}),
		"shifted":      Key("1o", []byte("bjects"), gates, []string{"k1", "k2"}),
	}
	seen := map[string]string{key: "the key"}
	for name, other := range others {
		require.NotContains(t, seen, other, name)
		seen[other] = name
	}
}
