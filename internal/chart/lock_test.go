package chart

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"

	"github.com/idp-blueprint/idp/internal/platform"
)

// golden compares with a file of testdata; UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		write(t, file, string(got))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func lockOf(t *testing.T, p *platform.Platform, c platform.Component, archive []byte) Inventory {
	t.Helper()
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	_, err := r.Import(write(t, filepath.Join(t.TempDir(), "web.tgz"), string(archive)))
	require.NoError(t, err)
	inventory, err := r.Lock(t.Context(), p, c)
	require.NoError(t, err)
	return inventory
}

func TestLock(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	inventory := lockOf(t, p, c, tiny(t, "web", "1.2.3", webFiles()))
	text, err := inventory.Bytes()
	require.NoError(t, err)
	golden(t, "inventory.yaml", text)
	require.NotContains(t, string(text), "hunter2", "no secret's data")
	require.NotContains(t, string(text), "secret-flag", "no program's arguments")
	require.NotContains(t, string(text), "text of the chart", "no content of the chart")

	back, err := parseInventory("inventory.yaml", text)
	require.NoError(t, err)
	again, err := back.Bytes()
	require.NoError(t, err)
	require.Equal(t, string(text), string(again), "reading and writing changes nothing")
}

func TestLockTakesAddressAndDigestFromTheIndex(t *testing.T) {
	archive := tiny(t, "web", "1.2.3", webFiles())
	url, _ := repository(t, archive, "")
	p, c := checkout(t, url, webValues)
	r := NewResolver(Options{CacheDir: t.TempDir()})
	inventory, err := r.Lock(t.Context(), p, c)
	require.NoError(t, err)
	require.Equal(t, url+"/files/web-1.2.3.tgz", inventory.Charts[0].URL)
	require.Equal(t, hashHex(archive), inventory.Charts[0].SHA256)
	changed, err := WriteInventory(p.Root, c, inventory)
	require.NoError(t, err)
	require.True(t, changed)

	offline := NewResolver(Options{CacheDir: r.options.CacheDir, Offline: true})
	same, err := offline.Lock(t.Context(), p, c)
	require.NoError(t, err)
	require.Equal(t, inventory, same, "what was recorded of the same archive stays")
	changed, err = WriteInventory(p.Root, c, same)
	require.NoError(t, err)
	require.False(t, changed)
}

func TestLockNeverMakesAStandIn(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	locked(t, p, c, tiny(t, "web", "1.2.3", webFiles()))
	_, err := NewResolver(Options{CacheDir: t.TempDir(), StandIns: true}).Lock(t.Context(), p, c)
	require.ErrorContains(t, err, "can't get chart web 1.2.3")
}

func TestCheckInventory(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	archive := tiny(t, "web", "1.2.3", webFiles())
	inventory := lockOf(t, p, c, archive)
	require.ErrorContains(t, CheckInventory(p.Root, c, inventory), "idp lock")

	_, err := WriteInventory(p.Root, c, inventory)
	require.NoError(t, err)
	require.NoError(t, CheckInventory(p.Root, c, inventory))

	write(t, filepath.Join(p.Root, "K8s", "apps", "site", "values.yaml"), strings.Replace(webValues, "replicas: 2", "replicas: 3", 1))
	err = CheckInventory(p.Root, c, lockOf(t, p, c, archive))
	var stale *platform.InputError
	require.ErrorAs(t, err, &stale)
	text, err := inventory.Bytes()
	require.NoError(t, err)
	require.Contains(t, strings.Split(string(text), "\n")[stale.Line-1], "replicas: 2", "the line that differs")

	c.Chart.Dependencies = nil
	require.ErrorContains(t, CheckInventory(p.Root, c, lockOf(t, p, c, archive)), "inventory.yaml", "left over")
	changed, err := WriteInventory(p.Root, c, Inventory{})
	require.NoError(t, err)
	require.True(t, changed)
	require.NoFileExists(t, filepath.Join(p.Root, "K8s", "apps", "site", InventoryFile))
}

// TestStandInRendersWhatTheChartRenders compares the facts of a stand-in with those of the chart it stands in for.
func TestStandInRendersWhatTheChartRenders(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	real := lockOf(t, p, c, tiny(t, "web", "1.2.3", webFiles()))
	data, complete, err := makeStandIn(t.Context(), real.Charts[0], modules{offline: true})
	require.NoError(t, err)
	require.True(t, complete)
	again, _, err := makeStandIn(t.Context(), real.Charts[0], modules{offline: true})
	require.NoError(t, err)
	require.Equal(t, data, again, "the same inventory gives the same bytes")

	standIn := lockOf(t, p, c, data).Charts[0]
	for _, o := range standIn.Objects {
		annotations := dig(o, "metadata", "annotations")
		require.Equal(t, "inventory", annotations[SimulatedAnnotation])
		delete(annotations, SimulatedAnnotation)
		if len(annotations) == 0 {
			delete(dig(o, "metadata"), "annotations")
		}
	}
	want := real.Charts[0]
	require.Equal(t, want.Workloads, standIn.Workloads)
	require.Equal(t, want.Services, standIn.Services)
	require.Equal(t, want.CRDs, standIn.CRDs)
	require.Equal(t, want.Images, standIn.Images)
	require.Equal(t, want.Objects, standIn.Objects)
	require.Equal(t, want.Secrets, standIn.Secrets)
	require.Equal(t, "debug {{ literally }}", standIn.ConfigMaps[0].Data["level"], "braces of our own values come out as they are")
}

func TestEveryObjectOfAStandInIsMarked(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	facts := lockOf(t, p, c, tiny(t, "web", "1.2.3", webFiles())).Charts[0]
	data, _, err := makeStandIn(t.Context(), facts, modules{offline: true})
	require.NoError(t, err)
	files, err := loader.LoadArchiveFiles(bytes.NewReader(data))
	require.NoError(t, err)
	var text strings.Builder
	for _, f := range files {
		text.WriteString("# " + f.Name + "\n" + string(f.Data))
		if strings.HasSuffix(f.Name, ".yaml") {
			require.Contains(t, string(f.Data), SimulatedAnnotation+": inventory", f.Name)
		}
	}
	golden(t, "stand-in.txt", []byte(text.String()))
}

func TestDamagedStandInIsMadeAgain(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	locked(t, p, c, tiny(t, "web", "1.2.3", webFiles()))
	dir := t.TempDir()
	r := NewResolver(Options{CacheDir: dir, Offline: true, StandIns: true})
	vendored := func() []byte {
		dest := t.TempDir()
		_, err := r.Vendor(t.Context(), p.Root, c, dest)
		require.NoError(t, err)
		data, err := os.ReadFile(filepath.Join(dest, "charts", "web-1.2.3.tgz"))
		require.NoError(t, err)
		return data
	}
	first := vendored()
	kept, err := filepath.Glob(filepath.Join(dir, ".stand-ins", "*.tgz"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
	require.NoError(t, os.WriteFile(kept[0], []byte("damaged"), 0o644))
	require.Equal(t, first, vendored())
	list, err := r.List()
	require.NoError(t, err)
	require.Empty(t, list, "a stand-in is no chart of the cache")
}

// proxy serves one module by the Go module proxy's protocol, from files.
func proxy(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, "example.com", "widgets", "@v")
	write(t, filepath.Join(at, "list"), "v1.0.0\n")
	write(t, filepath.Join(at, "v1.0.0.info"), `{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}`)
	write(t, filepath.Join(at, "v1.0.0.mod"), "module example.com/widgets\n")
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	files["go.mod"] = "module example.com/widgets\n"
	for name, text := range files {
		f, err := archive.Create("example.com/widgets@v1.0.0/" + name)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	write(t, filepath.Join(at, "v1.0.0.zip"), out.String())

	cache := t.TempDir()
	t.Cleanup(func() { // the go command writes its cache read-only
		_ = filepath.WalkDir(cache, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				err = os.Chmod(path, 0o755)
			}
			return err
		})
	})
	t.Setenv("GOMODCACHE", cache)
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(dir))
	t.Setenv("GOSUMDB", "off")
}

func TestSchemasComeFromThePinnedModule(t *testing.T) {
	shipped := strings.Replace(webFiles()["crds/widgets.yaml"], "type: integer", "type: integer, description: from the module", 1)
	proxy(t, map[string]string{"crds/a-group/widgets.yaml": "---\n" + shipped, "crds/other.txt": "x", "elsewhere/a.yaml": "{{"})
	p, c := checkout(t, nowhere, webValues)
	file := filepath.Join(p.Root, "K8s", "apps", "site", "Chart.yaml")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	write(t, file, string(text)+"annotations:\n  idp.dev/crds: example.com/widgets@v1.0.0/crds\n")

	archive := tiny(t, "web", "1.2.3", webFiles())
	r := NewResolver(Options{CacheDir: t.TempDir()})
	_, err = r.Import(write(t, filepath.Join(t.TempDir(), "web.tgz"), string(archive)))
	require.NoError(t, err)
	inventory, err := r.Lock(t.Context(), p, c)
	require.NoError(t, err)
	facts := inventory.Charts[0]
	sum := facts.Module.Sum
	require.Regexp(t, moduleSum, sum)
	require.Equal(t, &Module{Path: "example.com/widgets", Version: "v1.0.0", Sum: sum, Folder: "crds"}, facts.Module)
	require.Equal(t, "a-group/widgets.yaml", facts.CRDs[0].File)

	data, complete, err := makeStandIn(t.Context(), facts, modules{offline: true})
	require.NoError(t, err)
	require.True(t, complete)
	require.Contains(t, unpacked(t, data), "from the module")

	t.Run("another sum is refused", func(t *testing.T) {
		changed := *facts.Module
		changed.Sum = "h1:" + strings.Repeat("A", 43) + "="
		other := facts
		other.Module = &changed
		_, _, err := makeStandIn(t.Context(), other, modules{offline: true})
		require.ErrorContains(t, err, "is refused: its sum is "+sum)
	})
	t.Run("without the module any field is right", func(t *testing.T) {
		gone := *facts.Module
		gone.Version = "v1.0.1"
		other := facts
		other.Module = &gone
		data, complete, err := makeStandIn(t.Context(), other, modules{offline: true})
		require.NoError(t, err)
		require.False(t, complete, "the module may be there next time")
		require.Contains(t, unpacked(t, data), "x-kubernetes-preserve-unknown-fields: true")
	})
	t.Run("a module without the chart's CRDs", func(t *testing.T) {
		write(t, file, string(text)+"annotations:\n  idp.dev/crds: example.com/widgets@v1.0.0/elsewhere\n")
		_, err := r.Lock(t.Context(), p, c)
		require.ErrorContains(t, err, "has none of the chart's CRDs")
	})
}

func unpacked(t *testing.T, data []byte) string {
	t.Helper()
	files, err := loader.LoadArchiveFiles(bytes.NewReader(data))
	require.NoError(t, err)
	var all strings.Builder
	for _, f := range files {
		all.Write(f.Data)
	}
	return all.String()
}

func TestParseModule(t *testing.T) {
	m, err := parseModule("github.com/argoproj/argo-cd/v3@v3.6.1/manifests/crds")
	require.NoError(t, err)
	require.Equal(t, &Module{Path: "github.com/argoproj/argo-cd/v3", Version: "v3.6.1", Folder: "manifests/crds"}, m)
	for _, wrong := range []string{"", "a@v1.0.0", "a/b", "@v1.0.0/x", "a@v1/x", "a@v1.0.0/../x", "a@v1.0.0//x"} {
		_, err := parseModule(wrong)
		require.ErrorContains(t, err, "<module>@<version>/<folder>", wrong)
	}
}

func TestParseInventory(t *testing.T) {
	digest := "h1:" + strings.Repeat("a", 64)
	chart := func(lines string) string {
		return "schema: 1\ncharts:\n  - name: web\n    version: 1.2.3\n    repository: x\n    files: " + digest + "\n" + lines
	}
	for _, test := range []struct {
		name, text, says string
		line             int
	}{
		{name: "good", text: chart("")},
		{name: "unknown key", text: chart("    wrokloads: []\n"), says: "wrokloads", line: 7},
		{name: "no YAML", text: "schema: [\n", says: "did not find", line: 1},
		{name: "another schema", text: "schema: 2\n", says: "schema 2"},
		{name: "no digest", text: "schema: 1\ncharts:\n  - {name: web, version: 1.2.3}\n", says: "64 hex digits"},
		{name: "sha256", text: chart("    sha256: abc\n"), says: "sha256 has to be"},
		{name: "name that leads outside", text: "schema: 1\ncharts:\n  - {name: ../web, version: 1.2.3, files: " + digest + "}\n", says: "no usable name"},
		{name: "twice", text: chart("") + "  - {name: web, version: 1.2.4, files: " + digest + "}\n", says: "there twice"},
		{name: "module folder that leads outside", text: chart("    module: {path: a, version: v1.0.0, sum: 'h1:" + strings.Repeat("A", 43) + "=', folder: ../x}\n"), says: "no usable sum and folder"},
		{name: "CRD without version", text: chart("    crds: [{name: a.b, group: b, scope: Cluster, kind: A, plural: a, versions: []}]\n"), says: "has no version"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseInventory("K8s/apps/site/inventory.yaml", []byte(test.text))
			if test.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.says)
			var wrong *platform.InputError
			require.True(t, errors.As(err, &wrong))
			require.Equal(t, "K8s/apps/site/inventory.yaml", wrong.File)
			require.Equal(t, test.line, wrong.Line)
		})
	}
}

func TestReadInventoryIsBounded(t *testing.T) {
	root := t.TempDir()
	file := write(t, filepath.Join(root, "K8s", "a", "b", InventoryFile), "")
	require.NoError(t, os.Truncate(file, maxInventory+1))
	_, err := ReadInventory(root, "K8s/a/b")
	require.ErrorContains(t, err, "more than 8 MiB")
}

func FuzzParseInventory(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "inventory.yaml"))
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte("schema: 1\ncharts: [{name: a}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		inventory, err := parseInventory("fuzz", data)
		if err != nil {
			return
		}
		for _, c := range inventory.Charts {
			_ = c.objects()
			_ = recordedKeys(c.Keys, c.Free)
		}
	})
}

func TestLockTakesTheProfilesValues(t *testing.T) {
	p, c := checkout(t, nowhere, webValues)
	c.Profiles = []string{"ha"}
	write(t, filepath.Join(p.Root, "K8s", "apps", "site", "values-ha.yaml"), "web: {replicas: 5, config: {level: debug}}\n")
	archive := tiny(t, "web", "1.2.3", webFiles())
	replicas := func() int64 { return *lockOf(t, p, c, archive).Charts[0].Workloads[0].Replicas }
	require.EqualValues(t, 2, replicas(), "of values.yaml")
	p.Config.Profile = "ha"
	require.EqualValues(t, 5, replicas())
	write(t, filepath.Join(p.Root, "K8s", "apps", "site", "values-ha.yaml"), "web: [\n")
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	_, err := r.Import(write(t, filepath.Join(t.TempDir(), "web.tgz"), string(archive)))
	require.NoError(t, err)
	_, err = r.Lock(t.Context(), p, c)
	require.ErrorContains(t, err, "K8s/apps/site/values-ha.yaml: ")
}
