package chart

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/platform"
)

// repository is an HTTP chart repository of one archive. Empty digest: the archive's own.
func repository(t *testing.T, archive []byte, digest string) (url string, requests *atomic.Int64) {
	t.Helper()
	if digest == "" {
		digest = hashHex(archive)
	}
	requests = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch r.URL.Path {
		case "/index.yaml":
			fmt.Fprintf(w, "apiVersion: v1\nentries:\n  web:\n  - {name: web, version: 1.2.3, apiVersion: v2, digest: %s, urls: [files/web-1.2.3.tgz]}\n", digest)
		case "/files/web-1.2.3.tgz":
			_, _ = w.Write(archive)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// registryOf is an OCI registry of one chart.
func registryOf(t *testing.T, archive []byte) string {
	t.Helper()
	digest := func(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
	config := []byte(`{"name":"web","version":"1.2.3","apiVersion":"v2"}`)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest(config), "size": len(config)},
		"layers": []any{map[string]any{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": digest(archive), "size": len(archive)}},
	})
	require.NoError(t, err)
	blobs := map[string][]byte{digest(config): config, digest(archive): archive}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch _, last, _ := strings.Cut(r.URL.Path, "/v2/charts/web/"); {
		case last == "manifests/1.2.3", last == "manifests/"+digest(manifest):
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.Header().Set("Docker-Content-Digest", digest(manifest))
			w.Header().Set("Content-Length", fmt.Sprint(len(manifest)))
			_, _ = w.Write(manifest)
		case blobs[strings.TrimPrefix(last, "blobs/")] != nil:
			_, _ = w.Write(blobs[strings.TrimPrefix(last, "blobs/")])
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "http://", "oci://", 1) + "/charts"
}

// locked writes an inventory of that archive for the component.
func locked(t *testing.T, p *platform.Platform, c platform.Component, archive []byte) {
	t.Helper()
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	_, err := r.Import(write(t, filepath.Join(t.TempDir(), "web.tgz"), string(archive)))
	require.NoError(t, err)
	inventory, err := r.Lock(t.Context(), p, c)
	require.NoError(t, err)
	_, err = WriteInventory(p.Root, c, inventory)
	require.NoError(t, err)
}

const nowhere = "http://127.0.0.1:1" // nothing listens on this port

func TestVendor(t *testing.T) {
	archive := tiny(t, "web", "1.2.3", webFiles())
	changed := tiny(t, "web", "1.2.3", map[string]string{"values.yaml": "other: true\n"})
	repackaged := webFiles()
	repackaged["README.md"] = "packaged from source"
	fromSource := tiny(t, "web", "1.2.3", repackaged)
	up, _ := repository(t, archive, "")
	wrongDigest, _ := repository(t, archive, strings.Repeat("f", 64))
	wrongChart, _ := repository(t, tiny(t, "other", "1.2.3", nil), "")
	moved, _ := repository(t, changed, "")

	for _, test := range []struct {
		name       string
		options    Options
		repository string
		cached     []byte
		locked     []byte
		source     Source
		says       []string // of the error
	}{
		{name: "cache", repository: nowhere, cached: archive, source: FromCache},
		{name: "cache, digest as recorded", repository: nowhere, cached: archive, locked: archive, source: FromCache},
		{name: "cache, packaged from the tagged source", repository: nowhere, cached: fromSource, locked: archive, source: FromCache},
		{name: "upstream", repository: up, source: FromUpstream},
		{name: "upstream, digest as recorded", repository: up, locked: archive, source: FromUpstream},
		{name: "OCI", options: Options{Registry: RegistryOptions{PlainHTTP: true}}, repository: registryOf(t, archive), source: FromUpstream},
		{name: "stand-in without network", options: Options{StandIns: true}, repository: nowhere, locked: archive, source: FromInventory},
		{name: "stand-in offline", options: Options{StandIns: true, Offline: true}, repository: up, locked: archive, source: FromInventory},

		{name: "no network", repository: nowhere, says: []string{"K8s/apps/site/Chart.yaml:6: ", nowhere + "/index.yaml", "idp charts import web-1.2.3.tgz"}},
		{name: "no network, a stand-in would do", repository: nowhere, locked: archive, says: []string{"can't get chart web 1.2.3"}},
		{name: "strict", options: Options{StandIns: true, Strict: true}, repository: nowhere, locked: archive, says: []string{"--strict"}},
		{name: "no inventory", options: Options{StandIns: true}, repository: nowhere, says: []string{"there is no inventory of it"}},
		{name: "offline", options: Options{Offline: true}, repository: up, says: []string{"--offline", "idp charts pull"}},
		{name: "not what the index says", repository: wrongDigest, says: []string{"index says " + strings.Repeat("f", 64)}},
		{name: "another chart inside", repository: wrongChart, says: []string{"it holds chart other 1.2.3, not web 1.2.3"}},
		{name: "cached archive isn't the recorded one", repository: nowhere, cached: changed, locked: archive, says: []string{"is refused", "files digest is h1:", "the inventory says h1:", "idp lock"}},
		{name: "and no stand-in hides it", options: Options{StandIns: true}, repository: nowhere, cached: changed, locked: archive, says: []string{"is refused"}},
		{name: "upstream isn't the recorded one", options: Options{StandIns: true}, repository: moved, locked: archive, says: []string{"is refused"}},
		{name: "no such version", repository: up + "/sub", says: []string{"404"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, c := checkout(t, test.repository, webValues)
			test.options.CacheDir = t.TempDir()
			r := NewResolver(test.options)
			if test.locked != nil {
				locked(t, p, c, test.locked)
			}
			if test.cached != nil {
				_, err := r.Import(write(t, filepath.Join(t.TempDir(), "web.tgz"), string(test.cached)))
				require.NoError(t, err)
			}
			dest := t.TempDir()
			source, err := r.Vendor(t.Context(), p.Root, c, dest)
			for _, says := range test.says {
				require.ErrorContains(t, err, says)
			}
			if test.says != nil {
				require.NoDirExists(t, filepath.Join(dest, "charts", "web-1.2.3.tgz"))
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.source, source)
			first, err := os.ReadFile(filepath.Join(dest, "charts", "web-1.2.3.tgz"))
			require.NoError(t, err)

			again := t.TempDir()
			_, err = r.Vendor(t.Context(), p.Root, c, again)
			require.NoError(t, err)
			second, err := os.ReadFile(filepath.Join(again, "charts", "web-1.2.3.tgz"))
			require.NoError(t, err)
			require.Equal(t, first, second, "the same chart gives the same bytes")
		})
	}
}

func TestVendorKeepsWhatItDownloaded(t *testing.T) {
	url, requests := repository(t, tiny(t, "web", "1.2.3", webFiles()), "")
	p, c := checkout(t, url, webValues)
	r := NewResolver(Options{CacheDir: t.TempDir()})
	_, err := r.Vendor(t.Context(), p.Root, c, t.TempDir())
	require.NoError(t, err)
	asked := requests.Load()
	source, err := r.Vendor(t.Context(), p.Root, c, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, FromCache, source)
	require.Equal(t, asked, requests.Load())
}

func TestOfflineNeverAsks(t *testing.T) {
	url, requests := repository(t, tiny(t, "web", "1.2.3", webFiles()), "")
	p, c := checkout(t, url, webValues)
	r := NewResolver(Options{CacheDir: t.TempDir(), Offline: true})
	_, err := r.Vendor(t.Context(), p.Root, c, t.TempDir())
	require.Error(t, err)
	_, err = r.Pull(t.Context(), p.Root, c)
	require.Error(t, err)
	require.Zero(t, requests.Load())
}

func TestPull(t *testing.T) {
	url, requests := repository(t, tiny(t, "web", "1.2.3", webFiles()), "")
	p, c := checkout(t, url, webValues)
	r := NewResolver(Options{CacheDir: t.TempDir()})
	pulled, err := r.Pull(t.Context(), p.Root, c)
	require.NoError(t, err)
	list, err := r.List()
	require.NoError(t, err)
	require.Equal(t, list, pulled)
	asked := requests.Load()
	_, err = r.Pull(t.Context(), p.Root, c)
	require.NoError(t, err)
	require.Equal(t, asked, requests.Load(), "what is cached isn't fetched again")
}

func TestAHostThatIsDownIsAskedOnce(t *testing.T) {
	u := newUpstream(Options{CacheDir: t.TempDir()})
	asked := 0
	u.client = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		asked++
		return nil, errors.New("no route")
	})}
	for range 3 {
		_, err := u.download(t.Context(), "http://charts.example/index.yaml", maxIndex)
		require.ErrorContains(t, err, "no route")
		require.True(t, unreachable(err))
	}
	require.Equal(t, 1, asked)
}

func TestASlowHostIsRememberedAcrossRuns(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, slowHosts{dir}.recent("charts.example"))
	slowHosts{dir}.remember("charts.example")
	u := newUpstream(Options{CacheDir: dir})
	_, err := u.download(t.Context(), "http://charts.example/index.yaml", maxIndex)
	require.ErrorContains(t, err, "didn't answer")
	require.True(t, unreachable(err))
}

func TestDownloadIsBounded(t *testing.T) {
	url, _ := repository(t, make([]byte, 100), "")
	_, err := newUpstream(Options{}).download(t.Context(), url+"/files/web-1.2.3.tgz", 99)
	require.ErrorContains(t, err, "more than")
	require.False(t, unreachable(err))
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
