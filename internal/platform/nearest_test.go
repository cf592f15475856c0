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
		require.Equal(t, want, Nearest(word, known), word)
	}
	require.Equal(t, "ab", Nearest("aa", []string{"ab", "ac"}), "of equally near words the first wins")
}
