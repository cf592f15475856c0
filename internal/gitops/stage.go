// Package gitops puts the platform where Argo CD reads it and watches Argo CD take over: it stages the checkout with its
// charts, publishes it as a commit, and follows the Applications until they are Synced and Healthy.
package gitops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/idp-blueprint/idp/internal/platform"
)

// served lists what Argo CD reads of a checkout. The rest (code, documents) is left out, so that editing it publishes nothing.
func served() []string {
	return []string{"platform.yaml", "IT", "K8s", "Policies"}
}

// Vendorer puts a component's upstream charts into dest/charts and says where they came from.
type Vendorer interface {
	Vendor(ctx context.Context, c platform.Component, dest string) (source string, err error)
}

// Stage copies what Argo CD reads of the checkout, uncommitted edits included, into dest and vendors every component's charts
// beside its Chart.yaml. It returns where each Application's charts came from, by Application name.
func Stage(ctx context.Context, p *platform.Platform, charts Vendorer, dest string) (map[string]string, error) {
	files, err := servedFiles(ctx, p.Root)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := copyFile(filepath.Join(p.Root, file), filepath.Join(dest, file)); err != nil {
			return nil, fmt.Errorf("staging %s: %w", file, err)
		}
	}
	sources := map[string]string{}
	var failed []error
	for _, c := range p.Components() {
		source, err := charts.Vendor(ctx, c, filepath.Join(dest, filepath.FromSlash(c.Path)))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		sources[c.App] = source
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	return sources, writeSources(sources, dest)
}

// servedFiles lists the checkout's files below the served folders: those that Git tracks or would track, or, where the folder
// is no Git checkout (an unpacked archive), all of them.
func servedFiles(ctx context.Context, root string) ([]string, error) {
	args := append([]string{"-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, served()...)
	out, err := exec.CommandContext(ctx, "git", args...).Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return walkFiles(root)
	}
	var files []string
	for name := range strings.SplitSeq(string(out), "\x00") {
		// A tracked file may have been removed from the folder: what counts is what lies there now.
		info, err := os.Lstat(filepath.Join(root, name))
		if name == "" || err != nil || !info.Mode().IsRegular() {
			continue
		}
		files = append(files, name)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

func walkFiles(root string) ([]string, error) {
	var files []string
	for _, top := range served() {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name() == "charts" {
				return filepath.SkipDir
			}
			if d.Type().IsRegular() {
				name, err := filepath.Rel(root, path)
				if err != nil {
					return err
				}
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the platform's files: %w", err)
		}
	}
	slices.Sort(files)
	return files, nil
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}
