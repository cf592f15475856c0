package chart

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// moduleTimeout bounds the download of one module. The largest that ships CRDs has 60 MB.
	moduleTimeout = 3 * time.Minute
	// maxModuleFile bounds one file read out of a module, in bytes.
	maxModuleFile = 16 << 20
)

// modules reads files out of pinned Go modules, by the go command and its cache. The modules don't become dependencies of this
// program: what is wanted of them is data.
type modules struct {
	offline bool
}

// moduleError is a module that can't be had. A minimal CRD takes the place of what it ships.
type moduleError struct {
	module string
	err    error
}

func (e *moduleError) Error() string {
	return fmt.Sprintf("Go module %s can't be had: %v", e.module, e.err)
}
func (e *moduleError) Unwrap() error { return e.err }

type downloaded struct {
	Zip, Sum, Error string
}

// open gives the module's zip after comparing its checksum with the pin. Without a pin the sum is filled in.
func (m modules) open(ctx context.Context, module *Module) (*zip.ReadCloser, error) {
	name := module.Path + "@" + module.Version
	got, err := m.download(ctx, name, module.Sum != "")
	if err != nil {
		return nil, &moduleError{name, err}
	}
	if module.Sum != "" && module.Sum != got.Sum {
		return nil, fmt.Errorf("the Go module %s is refused: its sum is %s, the inventory says %s", name, got.Sum, module.Sum)
	}
	module.Sum = got.Sum
	file, err := zip.OpenReader(got.Zip)
	if err != nil {
		return nil, fmt.Errorf("reading Go module %s: %w", name, err)
	}
	return file, nil
}

// download has the go command fetch and verify the module, in a folder without a go.mod: no other module decides.
func (m modules) download(ctx context.Context, name string, pinned bool) (downloaded, error) {
	ctx, cancel := context.WithTimeout(ctx, moduleTimeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "idp-module-")
	if err != nil {
		return downloaded{}, err
	}
	defer os.RemoveAll(dir)
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", name)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "GO111MODULE=on")
	if pinned {
		command.Env = append(command.Env, "GOSUMDB=off") // the pin is compared instead, offline too
	}
	if m.offline {
		command.Env = append(command.Env, "GOPROXY=off")
	}
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	failed := command.Run()
	if ctx.Err() != nil {
		return downloaded{}, ctx.Err()
	}
	var got downloaded
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		return downloaded{}, errors.Join(failed, errors.New(firstLine(problems.String())))
	}
	// A module that wants a newer Go is an error to the go command, yet its files are there.
	if got.Zip == "" || got.Sum == "" {
		return downloaded{}, errors.New(firstLine(got.Error))
	}
	return got, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// files gives the YAML files of the module's folder and of the folders in it, by their path below it.
func (m modules) files(ctx context.Context, module *Module) (map[string][]byte, error) {
	reader, err := m.open(ctx, module)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	folder := module.Path + "@" + module.Version + "/" + module.Folder + "/"
	found := map[string][]byte{}
	for _, f := range reader.File {
		name, below := strings.CutPrefix(f.Name, folder)
		if ext := filepath.Ext(name); !below || ext != ".yaml" && ext != ".yml" {
			continue
		}
		if f.UncompressedSize64 > maxModuleFile {
			return nil, fmt.Errorf("%s is too large: %d bytes", f.Name, f.UncompressedSize64)
		}
		data, err := readZipped(f)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", f.Name, err)
		}
		found[name] = data
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the Go module %s@%s has no YAML files in %q", module.Path, module.Version, module.Folder)
	}
	return found, nil
}

func readZipped(f *zip.File) ([]byte, error) {
	content, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer content.Close()
	return io.ReadAll(io.LimitReader(content, maxModuleFile))
}

// parseModule reads "<module>@<version>/<folder>", as a component's Chart.yaml annotates it.
func parseModule(text string) (*Module, error) {
	name, rest, ok := strings.Cut(text, "@")
	version, folder, more := strings.Cut(rest, "/")
	if !ok || !more || name == "" || !chartVersion.MatchString(version) || !inside(folder) {
		return nil, fmt.Errorf("%q doesn't say <module>@<version>/<folder>", text)
	}
	return &Module{Path: name, Version: version, Folder: folder}, nil
}
