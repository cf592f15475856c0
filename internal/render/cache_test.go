package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counting is a cache in a folder of its own, and how often it had to render.
func counting(t *testing.T) (*Cache, *atomic.Int32) {
	t.Helper()
	c, count := Cached(t.TempDir()), &atomic.Int32{}
	c.render = func(ctx context.Context, r Request) ([]Object, error) {
		count.Add(1)
		return Render(ctx, r)
	}
	return c, count
}

func TestCacheGivesTheSame(t *testing.T) {
	for _, name := range []string{"hooks", "crds", "subcharts", "documents", "capabilities"} {
		t.Run(name, func(t *testing.T) {
			c, count := counting(t)
			r := request(t, name)
			want, err := Render(t.Context(), r)
			require.NoError(t, err)
			for range 2 {
				got, err := c.Render(t.Context(), r)
				require.NoError(t, err)
				require.Equal(t, want, got)
				got[0].SetName("changed by the caller")
			}
			require.EqualValues(t, 1, count.Load())
		})
	}
}

func TestCacheKey(t *testing.T) {
	c, count := counting(t)
	base := request(t, "subcharts")
	base.Parameters = map[string]string{"a": "1"}
	_, err := c.Render(t.Context(), base)
	require.NoError(t, err)

	moved := base
	moved.Dir = filepath.Join(t.TempDir(), "subcharts")
	require.NoError(t, os.CopyFS(moved.Dir, os.DirFS(base.Dir)))
	_, err = c.Render(t.Context(), moved)
	require.NoError(t, err)
	require.EqualValues(t, 1, count.Load(), "where the folder is makes no difference")

	for name, change := range map[string]func(r *Request){
		"app":               func(r *Request) { r.App = "other" },
		"release":           func(r *Request) { r.Release = "other" },
		"namespace":         func(r *Request) { r.Namespace = "other" },
		"Kubernetes":        func(r *Request) { r.KubeVersion = "v1.36.0" },
		"API versions":      func(r *Request) { r.APIVersions = nil },
		"parameters":        func(r *Request) { r.Parameters = map[string]string{"a": "2"} },
		"string parameters": func(r *Request) { r.StringParameters = map[string]string{"a": "1"} },
		"schema":            func(r *Request) { r.SkipSchema = true },
		"tests":             func(r *Request) { r.SkipTests = true },
		"CRDs":              func(r *Request) { r.SkipCRDs = true },
		"value files":       func(r *Request) { r.ValueFiles = append(r.ValueFiles, r.ValueFiles...) },
		"value file":        func(r *Request) { r.ValueFiles = []string{edited(t, r.ValueFiles[0])} },
		"a chart's file": func(r *Request) {
			put(t, filepath.Join(r.Dir, "values.yaml"), "a: 1\nglobal: {domain: x}\nother: {who: y}\noff: {enabled: false}\n")
		},
		"a subchart's file": func(r *Request) { put(t, filepath.Join(r.Dir, "charts/sub/values.yaml"), "who: other\n") },
		"a new file":        func(r *Request) { put(t, filepath.Join(r.Dir, "templates/new.yaml"), "") },
	} {
		t.Run(name, func(t *testing.T) {
			r := base
			r.Dir = filepath.Join(t.TempDir(), "subcharts")
			require.NoError(t, os.CopyFS(r.Dir, os.DirFS(base.Dir)))
			before := count.Load()
			change(&r)
			_, err = c.Render(t.Context(), r)
			require.NoError(t, err)
			require.Equal(t, before+1, count.Load())
		})
	}
}

func edited(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), filepath.Base(name))
	put(t, copied, string(data)+"# edited\n")
	return copied
}

func TestCacheIgnoresDamage(t *testing.T) {
	for name, damage := range map[string]func(data []byte) []byte{
		"cut":           func(data []byte) []byte { return data[:len(data)-10] },
		"empty":         func([]byte) []byte { return nil },
		"a byte":        func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		"another entry": func([]byte) []byte { return []byte(heading([]byte("{}")) + "{}") },
		"no objects":    func([]byte) []byte { return []byte(heading([]byte("[1]")) + "[1]") },
	} {
		t.Run(name, func(t *testing.T) {
			c, count := counting(t)
			r := request(t, "order")
			want, err := c.Render(t.Context(), r)
			require.NoError(t, err)
			entry := entries(t, c)[0]
			data, err := os.ReadFile(entry)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(entry, damage(data), 0o644))
			for range 2 {
				got, err := c.Render(t.Context(), r)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			require.EqualValues(t, 2, count.Load(), "rendered again once, and kept again")
		})
	}
}

// entries are the cache's files.
func entries(t *testing.T, c *Cache) []string {
	t.Helper()
	var list []string
	require.NoError(t, filepath.WalkDir(c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			list = append(list, path)
		}
		return err
	}))
	return list
}

func TestCacheKeepsNoFailure(t *testing.T) {
	c, count := counting(t)
	for range 2 {
		_, err := c.Render(t.Context(), request(t, "schema"))
		var typed *Error
		require.ErrorAs(t, err, &typed)
	}
	require.EqualValues(t, 2, count.Load())
	require.Empty(t, entries(t, c))
}

func TestCacheLeavesLinksAlone(t *testing.T) {
	c, count := counting(t)
	r := request(t, "order")
	require.NoError(t, os.Symlink(filepath.Join(r.Dir, "templates/a.yaml"), filepath.Join(r.Dir, "templates/link.yaml")))
	for range 2 {
		_, err := c.Render(t.Context(), r)
		require.NoError(t, err)
	}
	require.EqualValues(t, 2, count.Load(), "what a link points at is outside what the key covers")
}

func TestCacheThatCannotBeWritten(t *testing.T) {
	c, _ := counting(t)
	c.dir = filepath.Join(t.TempDir(), "file")
	put(t, c.dir, "not a folder")
	objects, err := c.Render(t.Context(), request(t, "order"))
	require.NoError(t, err)
	require.NotEmpty(t, objects)
}

func TestCacheIsBounded(t *testing.T) {
	c, _ := counting(t)
	c.bounds = bounds{entries: 2, bytes: 1 << 20}
	render := func(app string) {
		r := request(t, "order")
		r.App = app
		_, err := c.Render(t.Context(), r)
		require.NoError(t, err)
	}
	age := func(by time.Duration) {
		for _, entry := range entries(t, c) {
			info, err := os.Stat(entry)
			require.NoError(t, err)
			when := info.ModTime().Add(-by)
			require.NoError(t, os.Chtimes(entry, when, when))
		}
	}
	render("first")
	age(time.Minute)
	render("second")
	age(time.Minute)
	render("first") // used again, so the second is now the oldest
	age(time.Minute)
	left := filepath.Join(c.dir, "aa", "1"+tempSuffix)
	put(t, left, "left by a process that died")
	old := time.Now().Add(-2 * tempAge)
	require.NoError(t, os.Chtimes(left, old, old))
	young := filepath.Join(c.dir, "aa", "2"+tempSuffix)
	put(t, young, "being written")
	render("third")
	require.Len(t, entries(t, c), 3)
	require.NoFileExists(t, left)
	require.FileExists(t, young)

	count := 0
	c.render = func(context.Context, Request) ([]Object, error) { count++; return nil, errors.New("not kept") }
	for app, kept := range map[string]bool{"first": true, "second": false, "third": true} {
		r := request(t, "order")
		r.App = app
		_, err := c.Render(t.Context(), r)
		require.Equal(t, kept, err == nil, app)
	}

	c.bounds = bounds{entries: 100, bytes: 1}
	c.bounds.enforce(c.dir)
	require.Equal(t, []string{young}, entries(t, c), "bytes are a bound too")
}

func TestCacheSideBySide(t *testing.T) {
	c, _ := counting(t)
	c.bounds.entries = 3
	r := request(t, "order")
	want, err := Render(t.Context(), r)
	require.NoError(t, err)
	var group sync.WaitGroup
	failed := make(chan error, 40)
	for i := range cap(failed) {
		group.Go(func() {
			mine := r
			mine.KubeVersion = fmt.Sprintf("v1.37.%d", i%5)
			got, err := c.Render(t.Context(), mine)
			if err == nil && string(JSON(got)) != string(JSON(want)) {
				err = errors.New("other objects")
			}
			failed <- err
		})
	}
	group.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	for _, entry := range entries(t, c) {
		require.False(t, strings.HasSuffix(entry, tempSuffix))
	}
}
