package embedded

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestParseModule(t *testing.T) {
	for name, c := range map[string]struct {
		mod   string
		want  module
		fails bool
	}{
		"go line":            {mod: "module x\n\ngo 1.27.4\n\nrequire (\n\tk8s.io/kubernetes v1.37.2 // the cluster\n)\n", want: module{"go1.27.4", "v1.37.2"}},
		"toolchain wins":     {mod: "go 1.27\ntoolchain go1.27.4\nrequire k8s.io/kubernetes v1.37.2\n", want: module{"go1.27.4", "v1.37.2"}},
		"order is no matter": {mod: "toolchain go1.27.4\ngo 1.27\nrequire k8s.io/kubernetes v1.37.2\n", want: module{"go1.27.4", "v1.37.2"}},
		"no kubernetes":      {mod: "go 1.27.4\n", fails: true},
		"no go":              {mod: "require k8s.io/kubernetes v1.37.2\n", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseModule([]byte(c.mod))
			if c.fails {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func FuzzParseModule(f *testing.F) {
	f.Add([]byte("go 1.27.4\nrequire k8s.io/kubernetes v1.37.2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseModule(data)
		if err == nil {
			require.NotEmpty(t, m.toolchain)
			require.NotEmpty(t, m.kubernetes)
		}
	})
}

func TestProgramKey(t *testing.T) {
	m := module{toolchain: "go1.27.4", kubernetes: "v1.37.2"}
	base := func() fstest.MapFS {
		return fstest.MapFS{
			"go.mod":                 {Data: []byte("go 1.27.4")},
			"main.go":                {Data: []byte("package main")},
			"supervisor/egress.yaml": {Data: []byte("a: b")},
		}
	}
	key := func(fs fstest.MapFS, m module, flags ...string) string {
		got, err := programKey(fs, m, flags)
		require.NoError(t, err)
		return got
	}
	want := key(base(), m)
	require.Equal(t, want, key(base(), m), "it must not depend on the moment")

	same := base()
	same["main_test.go"] = &fstest.MapFile{Data: []byte("package main")}
	same["simulator/testdata/x.yaml"] = &fstest.MapFile{Data: []byte("x")}
	same["_try/main.go"] = &fstest.MapFile{Data: []byte("package main")}
	same[".git/HEAD"] = &fstest.MapFile{Data: []byte("ref")}
	same["README.md"] = &fstest.MapFile{Data: []byte("text")}
	require.Equal(t, want, key(same, m), "what isn't built must not count")

	changes := map[string]func(fstest.MapFS){
		"source":    func(fs fstest.MapFS) { fs["main.go"] = &fstest.MapFile{Data: []byte("package main // edited")} },
		"config":    func(fs fstest.MapFS) { fs["supervisor/egress.yaml"] = &fstest.MapFile{Data: []byte("a: c")} },
		"new file":  func(fs fstest.MapFS) { fs["more.go"] = &fstest.MapFile{Data: []byte("package main")} },
		"file gone": func(fs fstest.MapFS) { delete(fs, "supervisor/egress.yaml") },
		"renamed": func(fs fstest.MapFS) {
			fs["other.go"] = fs["main.go"]
			delete(fs, "main.go")
		},
	}
	seen := map[string]string{want: "base"}
	for name, change := range changes {
		fs := base()
		change(fs)
		got := key(fs, m)
		require.Empty(t, seen[got], "%s has the key of %s", name, seen[got])
		seen[got] = name
	}
	require.NotEqual(t, want, key(base(), module{toolchain: "go1.27.5", kubernetes: "v1.37.2"}))
	require.NotEqual(t, want, key(base(), m, "-race"))
}

func TestBuildFlagsStampTheVersion(t *testing.T) {
	flags := buildFlags(module{kubernetes: "v1.37.2"})
	require.Contains(t, flags, "-trimpath")
	ldflags := flags[len(flags)-1]
	for _, part := range []string{"-s -w", "k8s.io/component-base/version.gitVersion=v1.37.2", "k8s.io/component-base/version.gitMajor=1", "k8s.io/component-base/version.gitMinor=37"} {
		require.Contains(t, ldflags, part)
	}
}
