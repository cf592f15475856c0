package render

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	tempSuffix = ".part"
	// A file that is being written is younger than this; an older one was left behind by a process that died.
	tempAge = time.Hour
)

// bounds of a cache folder.
type bounds struct {
	entries int
	bytes   int64
}

type cached struct {
	path string
	size int64
	used time.Time
}

// enforce removes the entries that were used longest ago until the folder is within bounds. Two processes may do so at once.
func (b bounds) enforce(dir string) {
	entries := contents(dir, time.Now())
	slices.SortFunc(entries, func(x, y cached) int {
		return cmp.Or(y.used.Compare(x.used), cmp.Compare(x.path, y.path))
	})
	total := int64(0)
	for i, e := range entries {
		total += e.size
		if i >= b.entries || total > b.bytes {
			_ = os.Remove(e.path)
		}
	}
}

// contents are the cache's entries; what a dead process left behind is removed on the way.
func contents(dir string, now time.Time) []cached {
	var entries []cached
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		switch {
		case strings.HasSuffix(path, entrySuffix):
			entries = append(entries, cached{path, info.Size(), info.ModTime()})
		case strings.HasSuffix(path, tempSuffix) && now.Sub(info.ModTime()) > tempAge:
			_ = os.Remove(path)
		}
		return nil
	})
	return entries
}

// touch marks an entry as used now.
func touch(file string) {
	now := time.Now()
	_ = os.Chtimes(file, now, now)
}
