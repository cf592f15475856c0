package platform

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNearest(t *testing.T) {
	known := []string{"name", "namespace", "needs", "timeout", "url"}
	for word, want := range map[string]string{
		"nmae":       "name",
		"nameSpace":  "namespace",
		"need":       "needs",
		"time-out":   "timeout",
		"tiemuot":    "timeout",
		"uri":        "url",
		"x":          "",
		"completely": "",
		"":           "",
	} {
		got, found := Nearest(word, known)
		require.Equal(t, want, got, word)
		require.Equal(t, want != "", found, word)
	}
}
