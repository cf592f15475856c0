package chart

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/idp-blueprint/idp/internal/platform"
)

// Entry is one archive of the cache.
type Entry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"` // bytes
	Path    string `json:"path"`
}

// cache is a folder of archives, <name>/<version>/<sha256>.tgz, each with the digest of its files beside it in <sha256>.files,
// which saves unpacking it. The archive's name is its digest, so that damage is found out.
type cache struct {
	dir string
}

const (
	archiveExt = ".tgz"
	digestExt  = ".files"
)

// find gives the cached archive of dep that fits facts, or nil. refused says why an archive that is there doesn't fit.
func (c cache) find(dep platform.Dependency, facts *Chart) (found *archive, refused, err error) {
	if !chartName.MatchString(dep.Name) || !chartVersion.MatchString(dep.Version) {
		return nil, nil, nil
	}
	files, err := filepath.Glob(filepath.Join(c.dir, dep.Name, dep.Version, "*"+archiveExt))
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(files)
	for _, file := range files {
		a, err := c.read(file, dep)
		if err != nil {
			return nil, nil, err
		}
		if a == nil {
			continue
		}
		if err := a.fits(facts); err != nil {
			refused = err
			continue
		}
		return a, nil, nil
	}
	return nil, refused, nil
}

// read gives nil for an archive that no longer is what its name says, after removing it: a full disk or a crash cut it short.
func (c cache) read(file string, dep platform.Dependency) (*archive, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sum := strings.TrimSuffix(filepath.Base(file), archiveExt)
	if hashHex(data) != sum {
		return nil, errors.Join(os.Remove(file), removeIfThere(digestFile(file)))
	}
	if digest, err := os.ReadFile(digestFile(file)); err == nil && digestOfFiles.Match(digest) {
		return &archive{name: dep.Name, version: dep.Version, sha256: sum, digest: string(digest), data: data, where: file}, nil
	}
	a, err := parseArchive(file, data)
	if err != nil {
		return nil, err
	}
	if err := a.is(dep.Name, dep.Version); err != nil {
		return nil, err
	}
	return a, nil
}

func digestFile(file string) string {
	return strings.TrimSuffix(file, archiveExt) + digestExt
}

func removeIfThere(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (c cache) path(a *archive) string {
	return filepath.Join(c.dir, a.name, a.version, a.sha256+archiveExt)
}

func (c cache) entry(a *archive) Entry {
	return Entry{a.name, a.version, a.sha256, int64(len(a.data)), c.path(a)}
}

// put stores an archive, the digest of its files first: an archive is there only when it is complete.
func (c cache) put(a *archive) error {
	file := c.path(a)
	err := writeWhole(digestFile(file), []byte(a.digest))
	if err == nil {
		err = writeWhole(file, a.data)
	}
	if err != nil {
		return fmt.Errorf("keeping chart %s %s in the cache: %w", a.name, a.version, err)
	}
	return nil
}

// writeWhole writes under a temporary name first: whoever looks sees all of the file or nothing.
func writeWhole(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".part-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Chmod(0o644), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return nil
}

// Import fills the cache by hand. Every file is looked at; those that are charts are in the cache even if others failed.
func (r *Resolver) Import(files ...string) ([]Entry, error) {
	var imported []Entry
	var failed []error
	for _, file := range files {
		a, err := readArchive(file)
		if err == nil {
			err = r.cache.put(a)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		imported = append(imported, r.cache.entry(a))
	}
	return imported, errors.Join(failed...)
}

// List gives what the cache holds, by name and version. It doesn't open the archives.
func (r *Resolver) List() ([]Entry, error) {
	files, err := filepath.Glob(filepath.Join(r.cache.dir, "*", "*", "*"+archiveExt))
	if err != nil {
		return nil, err
	}
	list := make([]Entry, 0, len(files))
	for _, file := range files {
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		version := filepath.Dir(file)
		list = append(list, Entry{
			Name:    filepath.Base(filepath.Dir(version)),
			Version: filepath.Base(version),
			SHA256:  strings.TrimSuffix(filepath.Base(file), archiveExt),
			Size:    info.Size(),
			Path:    file,
		})
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.SHA256, b.SHA256))
	})
	return list, nil
}
