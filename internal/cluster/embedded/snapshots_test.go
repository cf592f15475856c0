package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var day0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// put writes a snapshot as the supervisor does.
func put(t *testing.T, s store, id, program string, keys map[string]string, content string, created time.Time) {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	require.NoError(t, os.WriteFile(s.path(id, dataSuffix), []byte(content), 0o600))
	require.NoError(t, writeJSON(s.path(id, metaSuffix), meta{
		Schema: schema, Program: program, Nodes: "n", Keys: keys, Created: created,
		SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(content)),
	}))
	require.NoError(t, os.Chtimes(s.path(id, metaSuffix), created, created))
}

func newStore(t *testing.T) store {
	t.Helper()
	return store{dir: t.TempDir(), now: func() time.Time { return day0.Add(time.Hour) }}
}

func TestChooseTakesTheDeepestThatFits(t *testing.T) {
	type keys = map[string]string
	wanted := keys{"a": "1", "b": "2", "c": "3"}
	for name, c := range map[string]struct {
		there map[string]keys
		want  string
	}{
		"none":                          {want: ""},
		"the deepest":                   {there: map[string]keys{"one": {"a": "1"}, "two": {"a": "1", "b": "2"}}, want: "two"},
		"not one with another key":      {there: map[string]keys{"one": {"a": "1"}, "two": {"a": "1", "b": "changed"}}, want: "one"},
		"not one with an unknown layer": {there: map[string]keys{"one": {"a": "1"}, "two": {"a": "1", "gone": "9"}}, want: "one"},
		"not an empty one":              {there: map[string]keys{"zero": {}}, want: ""},
		"all of it":                     {there: map[string]keys{"all": {"a": "1", "b": "2", "c": "3"}, "two": {"a": "1", "c": "3"}}, want: "all"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			for id, k := range c.there {
				put(t, s, id, "p", k, "data of "+id, day0)
			}
			got, err := s.choose("p", "n", wanted, func(message string) { t.Error(message) })
			require.NoError(t, err)
			if c.want == "" {
				require.Nil(t, got)
				return
			}
			require.Equal(t, c.want, got.id)
		})
	}
}

func TestChooseLooksAtProgramAndNodes(t *testing.T) {
	s := newStore(t)
	keys := map[string]string{"a": "1"}
	put(t, s, "x", "p", keys, "data", day0)
	for _, c := range []struct {
		program, nodes string
		fits           bool
	}{{"p", "n", true}, {"other", "n", false}, {"p", "other", false}} {
		got, err := s.choose(c.program, c.nodes, keys, func(string) {})
		require.NoError(t, err)
		require.Equal(t, c.fits, got != nil, "%v", c)
	}
}

func TestChooseTakesTheNewestOfEquals(t *testing.T) {
	s := newStore(t)
	keys := map[string]string{"a": "1"}
	put(t, s, "older", "p", keys, "x", day0)
	put(t, s, "newer", "p", keys, "y", day0.Add(time.Minute))
	got, err := s.choose("p", "n", keys, func(string) {})
	require.NoError(t, err)
	require.Equal(t, "newer", got.id)
}

func TestDamagedSnapshotsAreSkippedAndRemoved(t *testing.T) {
	deep, shallow := map[string]string{"a": "1", "b": "2"}, map[string]string{"a": "1"}
	for name, damage := range map[string]func(t *testing.T, s store){
		"a bit flipped": func(t *testing.T, s store) {
			require.NoError(t, os.WriteFile(s.path("deep", dataSuffix), []byte("dbta"), 0o600))
		},
		"cut short": func(t *testing.T, s store) { require.NoError(t, os.Truncate(s.path("deep", dataSuffix), 2)) },
		"data gone": func(t *testing.T, s store) { require.NoError(t, os.Remove(s.path("deep", dataSuffix))) },
		"description cut short": func(t *testing.T, s store) {
			require.NoError(t, os.Truncate(s.path("deep", metaSuffix), 10))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			put(t, s, "deep", "p", deep, "data", day0)
			put(t, s, "shallow", "p", shallow, "data", day0)
			damage(t, s)
			var told []string
			got, err := s.choose("p", "n", deep, func(message string) { told = append(told, message) })
			require.NoError(t, err)
			require.Equal(t, "shallow", got.id)
			require.Len(t, told, 1)
			require.Contains(t, told[0], "snapshot deep is damaged")
			require.NoFileExists(t, s.path("deep", dataSuffix))
			require.NoFileExists(t, s.path("deep", metaSuffix))
		})
	}
}

func TestPruneRemovesWhatCrashesLeave(t *testing.T) {
	s := newStore(t)
	s.now = func() time.Time { return day0.Add(2 * staleAge) }
	put(t, s, "kept", "p", map[string]string{"a": "1"}, "data", day0)
	old := []string{"orphan" + dataSuffix, ".tmp-1"}
	fresh := []string{"writing" + dataSuffix, ".tmp-2"}
	for _, name := range old {
		file := filepath.Join(s.dir, name)
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		require.NoError(t, os.Chtimes(file, day0, day0))
	}
	for _, name := range fresh {
		file := filepath.Join(s.dir, name)
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		require.NoError(t, os.Chtimes(file, s.now(), s.now()))
	}
	require.NoError(t, os.Chtimes(s.path("kept", dataSuffix), day0, day0))
	require.NoError(t, s.prune())
	entries, err := os.ReadDir(s.dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	require.ElementsMatch(t, append(fresh, "kept"+dataSuffix, "kept"+metaSuffix), names)
}

func TestBeyondBounds(t *testing.T) {
	item := func(name string, hours int, size int64) aged {
		return aged{name: name, used: day0.Add(-time.Duration(hours) * time.Hour), size: size}
	}
	for name, c := range map[string]struct {
		items []aged
		want  []string
	}{
		"within":   {items: []aged{item("a", 1, 10), item("b", 2, 10)}},
		"too many": {items: []aged{item("c", 3, 1), item("a", 1, 1), item("d", 4, 1), item("b", 2, 1)}, want: []string{"d"}},
		"too big":  {items: []aged{item("a", 1, 60), item("b", 2, 60), item("c", 3, 1)}, want: []string{"b", "c"}},
		"too old":  {items: []aged{item("a", 1, 1), item("z", 49, 1)}, want: []string{"z"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, beyond(c.items, day0, 3, 100, 48*time.Hour))
		})
	}
}

func TestSnapshotID(t *testing.T) {
	id := snapshotID("p", "n", map[string]string{"a": "1", "b": "2"})
	require.Equal(t, id, snapshotID("p", "n", map[string]string{"b": "2", "a": "1"}))
	for _, other := range []string{
		snapshotID("q", "n", map[string]string{"a": "1", "b": "2"}),
		snapshotID("p", "m", map[string]string{"a": "1", "b": "2"}),
		snapshotID("p", "n", map[string]string{"a": "1", "b": "3"}),
		snapshotID("p", "n", map[string]string{"a": "1"}),
	} {
		require.NotEqual(t, id, other)
	}
}

func TestOldest(t *testing.T) {
	items := []aged{{name: "b", used: day0.Add(2)}, {name: "c", used: day0.Add(3)}, {name: "a", used: day0.Add(1)}}
	require.Equal(t, []string{"b", "a"}, oldest(items, 1))
	require.Empty(t, oldest(items, 3))
}
