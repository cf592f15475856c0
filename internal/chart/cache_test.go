package chart

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/platform"
)

func TestImportKeepsWhatIsGood(t *testing.T) {
	r := NewResolver(Options{CacheDir: filepath.Join(t.TempDir(), "charts")})
	good := write(t, filepath.Join(t.TempDir(), "web.tgz"), string(tiny(t, "web", "1.2.3", nil)))
	bad := write(t, filepath.Join(t.TempDir(), "bad.tgz"), "no archive")

	imported, err := r.Import(bad, good, "/does/not/exist.tgz")
	require.ErrorContains(t, err, "bad.tgz")
	require.ErrorContains(t, err, "/does/not/exist.tgz")
	require.Len(t, imported, 1)
	require.Equal(t, "web", imported[0].Name)

	again, err := r.Import(good)
	require.NoError(t, err)
	require.Equal(t, imported, again)

	list, err := r.List()
	require.NoError(t, err)
	require.Equal(t, imported, list)
	require.FileExists(t, list[0].Path)
}

func TestListOfNoCache(t *testing.T) {
	list, err := NewResolver(Options{CacheDir: filepath.Join(t.TempDir(), "none")}).List()
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestDamagedArchiveIsRemoved(t *testing.T) {
	r := NewResolver(Options{CacheDir: t.TempDir()})
	file := write(t, filepath.Join(t.TempDir(), "web.tgz"), string(tiny(t, "web", "1.2.3", nil)))
	imported, err := r.Import(file)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(imported[0].Path, 10))

	found, refused, err := r.cache.find(platform.Dependency{Name: "web", Version: "1.2.3"}, nil)
	require.NoError(t, err)
	require.NoError(t, refused)
	require.Nil(t, found)
	require.NoFileExists(t, imported[0].Path)
}
