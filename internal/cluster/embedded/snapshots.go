package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The bounds of the snapshots that are kept, for all clusters together.
const (
	keptSnapshots    = 20
	keptSnapshotSize = 1 << 30 // bytes
	keptSnapshotAge  = 14 * 24 * time.Hour
	// staleAge is after what time a file that belongs to no snapshot was left by a crash.
	staleAge = time.Hour
)

const (
	metaSuffix = ".json"
	dataSuffix = ".db.gz"
)

// meta describes a snapshot. Its file is written after the data's, so that a described snapshot is a complete one.
type meta struct {
	Schema     int               `json:"schema"`
	Program    string            `json:"program"` // key of the program whose etcd and API server wrote the data
	Nodes      string            `json:"nodes"`   // digest of the nodes in it
	Kubernetes string            `json:"kubernetes"`
	Keys       map[string]string `json:"keys"` // by layer: what was done when it was taken
	SHA256     string            `json:"sha256"`
	Bytes      int64             `json:"bytes"`
	Created    time.Time         `json:"created"`
}

// snapshot is one in the store.
type snapshot struct {
	id   string
	data string // path
	meta meta
	used time.Time
}

// store is the folder of all snapshots.
type store struct {
	dir string
	now func() time.Time
}

// snapshotID names a snapshot by what decides whether it fits.
func snapshotID(program, nodes string, keys map[string]string) string {
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%d %q %q\n", schema, program, nodes) // a hash never fails
	for _, layer := range slices.Sorted(maps.Keys(keys)) {
		_, _ = fmt.Fprintf(sum, "%q %q\n", layer, keys[layer])
	}
	return hex.EncodeToString(sum.Sum(nil))[:32]
}

func (s store) path(id, suffix string) string { return filepath.Join(s.dir, id+suffix) }

// list returns the described snapshots. A description that can't be read is reported by its id in damaged.
func (s store) list() (found []snapshot, damaged []string, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, entry := range entries {
		id, ok := strings.CutSuffix(entry.Name(), metaSuffix)
		if !ok || strings.HasPrefix(id, ".") {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue // another idp has just removed it
		}
		one := snapshot{id: id, data: s.path(id, dataSuffix), used: info.ModTime()}
		if err := readJSON(s.path(id, metaSuffix), &one.meta); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				damaged = append(damaged, id)
			}
			continue
		}
		found = append(found, one)
	}
	return found, damaged, nil
}

// choose returns the deepest snapshot that fits, nil where none does. Damaged ones on the way are removed and named to tell.
func (s store) choose(program, nodes string, wanted map[string]string, tell func(string)) (*snapshot, error) {
	found, damaged, err := s.list()
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	for _, id := range damaged {
		tell(fmt.Sprintf("snapshot %s is damaged (its description can't be read) and was removed", id))
		if err := s.remove(id); err != nil {
			return nil, err
		}
	}
	for _, candidate := range fitting(found, program, nodes, wanted) {
		if reason := candidate.check(); reason != nil {
			tell(fmt.Sprintf("snapshot %s is damaged (%v) and was removed", candidate.id, reason))
			if err := s.remove(candidate.id); err != nil {
				return nil, err
			}
			continue
		}
		now := s.now()
		_ = os.Chtimes(s.path(candidate.id, metaSuffix), now, now) // only the order of the clean-up depends on it
		return &candidate, nil
	}
	return nil, nil
}

// fitting returns the snapshots that a cluster may start from, the deepest first, the newest of equals first: those in which
// nothing was done that isn't wanted, or was done otherwise.
func fitting(found []snapshot, program, nodes string, wanted map[string]string) []snapshot {
	var fit []snapshot
	for _, one := range found {
		ok := one.meta.Schema == schema && one.meta.Program == program && one.meta.Nodes == nodes && len(one.meta.Keys) > 0
		for layer, key := range one.meta.Keys {
			ok = ok && wanted[layer] == key
		}
		if ok {
			fit = append(fit, one)
		}
	}
	slices.SortStableFunc(fit, func(a, b snapshot) int {
		if d := len(b.meta.Keys) - len(a.meta.Keys); d != 0 {
			return d
		}
		return b.meta.Created.Compare(a.meta.Created)
	})
	return fit
}

// check compares the data with its description.
func (s snapshot) check() error {
	file, err := os.Open(s.data)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return err
	}
	if size != s.meta.Bytes {
		return fmt.Errorf("%d bytes instead of %d", size, s.meta.Bytes)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != s.meta.SHA256 {
		return fmt.Errorf("sha256 %.12s… instead of %.12s…", got, s.meta.SHA256)
	}
	return nil
}

// remove removes a snapshot; its description first, so that what is left is nobody's.
func (s store) remove(id string) error {
	for _, suffix := range []string{metaSuffix, dataSuffix} {
		if err := os.Remove(s.path(id, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing snapshot %s: %w", id, err)
		}
	}
	return nil
}

// prune keeps the store within its bounds and removes what crashes have left in it.
func (s store) prune() error {
	found, damaged, err := s.list()
	if err != nil {
		return err
	}
	var errs []error
	items := make([]aged, 0, len(found))
	for _, one := range found {
		items = append(items, aged{name: one.id, used: one.used, size: one.meta.Bytes})
	}
	for _, id := range slices.Concat(damaged, beyond(items, s.now(), keptSnapshots, keptSnapshotSize, keptSnapshotAge)) {
		errs = append(errs, s.remove(id))
	}
	return errors.Join(append(errs, s.removeStale())...)
}

// beyond returns the names of the items outside the bounds, which keep the most recently used.
func beyond(items []aged, now time.Time, count int, size int64, age time.Duration) []string {
	items = slices.Clone(items)
	slices.SortFunc(items, func(a, b aged) int { return b.used.Compare(a.used) })
	var names []string
	var total int64
	for i, item := range items {
		total += item.size
		if i >= count || total > size || now.Sub(item.used) > age {
			names = append(names, item.name)
		}
	}
	return names
}

// removeStale removes files without a description that are too old to be one that is being written.
func (s store) removeStale() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || s.now().Sub(info.ModTime()) < staleAge {
			continue
		}
		id, isData := strings.CutSuffix(entry.Name(), dataSuffix)
		if isData {
			_, err := os.Stat(s.path(id, metaSuffix))
			isData = errors.Is(err, fs.ErrNotExist)
		}
		if isData || strings.HasPrefix(entry.Name(), ".") {
			errs = append(errs, os.RemoveAll(filepath.Join(s.dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}
