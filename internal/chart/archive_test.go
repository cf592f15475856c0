package chart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/stretchr/testify/require"
)

// raw is a tar.gz of entries that no sane packager writes.
func raw(t *testing.T, entries ...*tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, e := range entries {
		body := []byte("apiVersion: v2\nname: web\nversion: 1.0.0\n")
		e.Mode, e.Size = 0o644, int64(len(body))
		require.NoError(t, archive.WriteHeader(e))
		_, err := archive.Write(body)
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	require.NoError(t, zipped.Close())
	return out.Bytes()
}

func TestParseArchive(t *testing.T) {
	good := tiny(t, "web", "1.2.3", map[string]string{"values.yaml": "a: 1\n"})
	for _, test := range []struct {
		name string
		data []byte
		says string
	}{
		{"a chart", good, ""},
		{"truncated", good[:len(good)/2], "truncated"},
		{"no archive", []byte("<html>404</html>"), "not a chart .tgz"},
		{"empty", nil, "not a chart .tgz"},
		{"leads outside", raw(t, &tar.Header{Name: "web/../../evil"}), "parent directory"},
		{"absolute", raw(t, &tar.Header{Name: "web//etc/passwd"}), "absolute paths"},
		{"no folder", raw(t, &tar.Header{Name: "Chart.yaml"}), "no readable chart archive"},
		{"no Chart.yaml", raw(t, &tar.Header{Name: "web/values.yaml"}), "has no Chart.yaml"},
		{"name that leads outside", tiny(t, "web", "1.0.0", map[string]string{"Chart.yaml": "name: ../web\nversion: 1.0.0\n"}), "no usable name"},
		{"version that leads outside", tiny(t, "web", "1.0.0", map[string]string{"Chart.yaml": "name: web\nversion: 1.0.0/../x\n"}), "no usable name"},
		{"Chart.yaml that isn't YAML", tiny(t, "web", "1.0.0", map[string]string{"Chart.yaml": "name: [\n"}), "no readable chart archive"},
		{"too large", make([]byte, maxArchive+1), "more than 64 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := parseArchive("web.tgz", test.data)
			if test.says == "" {
				require.NoError(t, err)
				require.Equal(t, []string{"web", "1.2.3"}, []string{a.name, a.version})
				return
			}
			require.ErrorContains(t, err, test.says)
			require.ErrorContains(t, err, "web.tgz: ")
			var wrong *ArchiveError
			require.ErrorAs(t, err, &wrong)
		})
	}
}

func TestFilesDigestIgnoresWhatPackagingRewrites(t *testing.T) {
	base := map[string]string{"values.yaml": "a: 1\n", "templates/a.yaml": "kind: A\n"}
	digest := func(change map[string]string) string {
		files := map[string]string{}
		for name, text := range base {
			files[name] = text
		}
		for name, text := range change {
			files[name] = text
		}
		a, err := parseArchive("x", tiny(t, "web", "1.0.0", files))
		require.NoError(t, err)
		return a.digest
	}
	same := digest(nil)
	require.Equal(t, same, digest(map[string]string{"README.md": "read", "Chart.lock": "lock", ".helmignore": "*.x", "charts/sub/Chart.yaml": "name: sub"}))
	require.Equal(t, same, digest(map[string]string{"Chart.yaml": "name: web\nversion: 1.0.0\nannotations: {a: b}\n"}))
	require.NotEqual(t, same, digest(map[string]string{"values.yaml": "a: 2\n"}))
	require.NotEqual(t, same, digest(map[string]string{"templates/b.yaml": "kind: B\n"}))
}

func FuzzParseArchive(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08"))
	data, err := pack("web", map[string][]byte{"Chart.yaml": []byte("name: web\nversion: 1.0.0\n")})
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseArchive("fuzz", data)
		if err == nil {
			require.Regexp(t, chartName, a.name)
			require.Regexp(t, chartVersion, a.version)
		}
	})
}

// An inventory of a published archive has two digests of it. The archive that somebody packages from the tagged source has another
// sha256 and the same files, and so has one that was published anew; neither is refused, and nothing with other files passes.
func TestFitsTellsThePublishedDigestFromThatOfTheFiles(t *testing.T) {
	files := map[string]string{"values.yaml": "a: 1\n", "templates/a.yaml": "kind: A\n"}
	published := parsed(t, tiny(t, "web", "1.2.3", files))
	files["README.md"] = "packaged from source"
	fromSource := parsed(t, tiny(t, "web", "1.2.3", files))
	files["values.yaml"] = "a: 2\n"
	altered := parsed(t, tiny(t, "web", "1.2.3", files))
	require.NotEqual(t, published.sha256, fromSource.sha256)
	require.Equal(t, published.digest, fromSource.digest)

	both := &Chart{SHA256: published.sha256, Files: published.digest}
	for _, test := range []struct {
		name    string
		archive *archive
		facts   *Chart
		says    string
	}{
		{"the published one", published, both, ""},
		{"packaged from source", fromSource, both, ""},
		{"recorded from source, the published one", published, &Chart{SHA256: published.sha256, Files: fromSource.digest}, ""},
		{"recorded without the published digest", published, &Chart{Files: fromSource.digest}, ""},
		{"recorded without the files", published, &Chart{SHA256: published.sha256}, ""},
		{"nothing recorded", altered, nil, ""},
		{"other files", altered, both, "files digest"},
		{"other files, the published digest not known", altered, &Chart{Files: published.digest}, "files digest"},
		{"other archive, its files not recorded", fromSource, &Chart{SHA256: published.sha256}, "sha256"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := test.archive.fits(test.facts)
			if test.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.says)
		})
	}
}

func parsed(t *testing.T, data []byte) *archive {
	t.Helper()
	a, err := parseArchive("web.tgz", data)
	require.NoError(t, err)
	return a
}
