package render

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Cache renders each request once: a render is a pure function of its request, so its result is kept under a digest of everything
// that it depends on. It is safe for concurrent use, by several processes too.
//
// Impure charts are kept as they were rendered first; Impure finds them.
type Cache struct {
	dir    string
	render func(context.Context, Request) ([]Object, error)
	bounds bounds
}

// Cached is Render with results kept in dir, which is made when needed.
func Cached(dir string) *Cache {
	return &Cache{dir: dir, render: Render, bounds: bounds{entries: 1000, bytes: 256 << 20}}
}

// Render gives what package Render gives. A cache that can't be read or written makes it slower, not wrong.
func (c *Cache) Render(ctx context.Context, r Request) ([]Object, error) {
	key, err := digest(r)
	if err != nil {
		// Whatever can't be read for the digest, the render will say better.
		return c.render(ctx, r)
	}
	file := c.file(key)
	if objects, ok := read(file); ok {
		return objects, nil
	}
	objects, err := c.render(ctx, r)
	if err != nil {
		return nil, err
	}
	if payload, err := json.Marshal(plain(objects)); err == nil {
		c.write(file, payload)
	}
	return objects, nil
}

func (c *Cache) file(key string) string {
	return filepath.Join(c.dir, key[:2], key+entrySuffix)
}

const (
	entrySuffix = ".json"
	digestSize  = 2*sha256.Size + 1 // hex digits and a line feed
)

// read gives an entry's objects; false for one that is missing, cut short or altered.
func read(file string) ([]Object, bool) {
	data, err := os.ReadFile(file)
	if err != nil || len(data) < digestSize {
		return nil, false
	}
	payload := data[digestSize:]
	if string(data[:digestSize]) != heading(payload) {
		return nil, false
	}
	objects, err := decode(payload)
	if err != nil {
		return nil, false
	}
	touch(file)
	return objects, true
}

// heading is an entry's first line: the digest of the rest.
func heading(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:]) + "\n"
}

// write keeps an entry, whole or not at all. Its errors are dropped: the objects are there, only the next render is slower.
func (c *Cache) write(file string, payload []byte) {
	if err := writeWhole(file, payload); err == nil {
		c.bounds.enforce(c.dir)
	}
}

func writeWhole(file string, payload []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "*"+tempSuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := f.WriteString(heading(payload)); err != nil {
		return err
	}
	if _, err := f.Write(payload); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close %s: %w", f.Name(), err)
	}
	return os.Rename(f.Name(), file)
}
