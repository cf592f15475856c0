package render

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"helm.sh/helm/v3/pkg/chartutil"
)

// format changes when the same request would give other objects, or entries have another form.
const format = "1"

// errNotRegular is for a folder with links or the like: what they point at is outside what the digest covers.
var errNotRegular = errors.New("not a regular file")

// digest covers all that a render depends on: every file of the chart's folder, the value files' contents, the rest of the request,
// Helm's version and the API versions it was built with. Where the folder is makes no difference.
func digest(r Request) (string, error) {
	h := sha256.New()
	rest := r
	rest.Dir, rest.ValueFiles = "", nil
	if err := field(h, format, chartutil.DefaultCapabilities, rest); err != nil {
		return "", err
	}
	for _, name := range r.ValueFiles {
		if err := content(h, name); err != nil {
			return "", err
		}
	}
	err := filepath.WalkDir(r.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s: %w", path, errNotRegular)
		}
		relative, err := filepath.Rel(r.Dir, path)
		if err != nil {
			return err
		}
		if err := field(h, filepath.ToSlash(relative)); err != nil {
			return err
		}
		return content(h, path)
	})
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", r.Dir, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// field writes values as JSON, which has map keys in order and marks where each value ends.
func field(h hash.Hash, values ...any) error {
	encoder := json.NewEncoder(h)
	for _, value := range values {
		if err := encoder.Encode(value); err != nil {
			return err
		}
	}
	return nil
}

// content writes a file's size and bytes.
func content(h hash.Hash, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := binary.Write(h, binary.BigEndian, info.Size()); err != nil {
		return err
	}
	_, err = io.Copy(h, f)
	return err
}
