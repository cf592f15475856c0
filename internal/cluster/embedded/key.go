package embedded

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
)

// module is what a build of the program depends on, as its go.mod says.
type module struct {
	toolchain  string // "go1.27.4"
	kubernetes string // "v1.37.2"
}

// parseModule reads go.mod. It is line by line on purpose: the format's own parser would refuse files of a later Go.
func parseModule(data []byte) (module, error) {
	var m module
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "//")
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) != 2 {
			continue
		}
		switch fields[0] {
		case "go":
			if m.toolchain == "" {
				m.toolchain = "go" + fields[1]
			}
		case "toolchain":
			m.toolchain = fields[1]
		case "k8s.io/kubernetes":
			m.kubernetes = fields[1]
		}
	}
	if m.toolchain == "" || m.kubernetes == "" {
		return m, fmt.Errorf("go.mod: the line `go …` or the requirement of k8s.io/kubernetes is missing")
	}
	return m, nil
}

// programKey stands for everything that decides how the program behaves: its sources, its modules, the toolchain, the flags
// and the machine. Tests and test data don't.
func programKey(source fs.FS, m module, flags []string) (string, error) {
	var files []string
	err := fs.WalkDir(source, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if name == "testdata" || file != "." && strings.ContainsAny(name[:1], "._") {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, "_test.go") && !strings.HasSuffix(name, "~") && path.Ext(name) != ".md" {
			files = append(files, file)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%q %q %q %q\n", m, runtime.GOOS, runtime.GOARCH, flags) // a hash never fails
	for _, file := range files {
		data, err := fs.ReadFile(source, file)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(sum, "%q %x\n", file, sha256.Sum256(data))
	}
	return hex.EncodeToString(sum.Sum(nil))[:24], nil
}

// buildFlags are the flags of the build. The version is what the API server and, with it, charts call this Kubernetes;
// unstamped it calls itself v0.0.0-master.
func buildFlags(m module) []string {
	version := strings.SplitN(strings.TrimPrefix(m.kubernetes, "v"), ".", 3)
	ldflags := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		ldflags += fmt.Sprintf(" -X %s.gitVersion=%s -X %s.gitTreeState=clean", pkg, m.kubernetes, pkg)
		if len(version) == 3 {
			ldflags += fmt.Sprintf(" -X %s.gitMajor=%s -X %s.gitMinor=%s", pkg, version[0], pkg, version[1])
		}
	}
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", ldflags}
}
