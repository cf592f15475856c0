package chart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/registry"
	"helm.sh/helm/v3/pkg/repo"

	"github.com/idp-blueprint/idp/internal/platform"
)

const (
	// maxIndex bounds a repository's index.yaml, in bytes. The largest in wide use has 20 MiB.
	maxIndex = 128 << 20
	// A repository that doesn't answer must not hold up a laptop on a train.
	connectTimeout  = 4 * time.Second
	responseTimeout = 30 * time.Second
	downloadTimeout = 5 * time.Minute
)

// upstream asks chart repositories.
type upstream struct {
	client    *http.Client
	plainHTTP bool

	slow slowHosts

	mu      sync.Mutex
	down    map[string]error           // hosts that didn't answer, asked once a run
	indexes map[string]*repo.IndexFile // by repository URL
}

func newUpstream(o Options) *upstream {
	client := o.Client
	if client == nil {
		transport := &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout:   connectTimeout,
			ResponseHeaderTimeout: responseTimeout,
			IdleConnTimeout:       responseTimeout,
			ForceAttemptHTTP2:     true,
		}
		client = &http.Client{Transport: transport, Timeout: downloadTimeout}
	}
	return &upstream{client: client, plainHTTP: o.Registry.PlainHTTP, slow: slowHosts{o.CacheDir}, down: map[string]error{}, indexes: map[string]*repo.IndexFile{}}
}

// get downloads dep and checks it: against the inventory, and, where the repository's index was read, against that.
func (u *upstream) get(ctx context.Context, dep platform.Dependency, facts *Chart) (*archive, error) {
	where, want, err := u.locate(ctx, dep, facts)
	if err != nil {
		return nil, err
	}
	data, err := u.fetch(ctx, where, dep)
	if err != nil {
		return nil, err
	}
	a, err := parseArchive(where, data)
	if err != nil {
		return nil, err
	}
	if err := a.is(dep.Name, dep.Version); err != nil {
		return nil, err
	}
	if want != "" && want != a.sha256 {
		return nil, &ArchiveError{Where: where, Msg: fmt.Sprintf("its sha256 is %s, the repository's index says %s", a.sha256, want)}
	}
	return a, a.fits(facts)
}

// locate gives the archive's URL and, where an index says so, its sha256.
func (u *upstream) locate(ctx context.Context, dep platform.Dependency, facts *Chart) (where, sha256 string, err error) {
	if facts != nil && facts.URL != "" {
		return facts.URL, "", nil // fits compares with the inventory
	}
	if registry.IsOCI(dep.Repository) {
		return strings.TrimSuffix(dep.Repository, "/") + "/" + dep.Name, "", nil
	}
	return u.published(ctx, dep)
}

// published looks dep up in the index of its HTTP repository.
func (u *upstream) published(ctx context.Context, dep platform.Dependency) (where, sha256 string, err error) {
	index, err := u.index(ctx, dep.Repository)
	if err != nil {
		return "", "", err
	}
	version, err := index.Get(dep.Name, dep.Version)
	if err != nil || len(version.URLs) == 0 || version.Version != dep.Version {
		return "", "", fmt.Errorf("%s doesn't list it", indexURL(dep.Repository))
	}
	where, err = repo.ResolveReferenceURL(dep.Repository, version.URLs[0])
	return where, strings.TrimPrefix(version.Digest, "sha256:"), err
}

func indexURL(repository string) string {
	return strings.TrimSuffix(repository, "/") + "/index.yaml"
}

// index reads a repository's index, once a run.
func (u *upstream) index(ctx context.Context, repository string) (*repo.IndexFile, error) {
	u.mu.Lock()
	known := u.indexes[repository]
	u.mu.Unlock()
	if known != nil {
		return known, nil
	}
	data, err := u.download(ctx, indexURL(repository), maxIndex)
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(data)
	if err != nil {
		return nil, &ArchiveError{Where: indexURL(repository), Msg: "no readable repository index", Err: err}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.indexes[repository] = index
	return index, nil
}

// parseIndex goes through a file, which is the one way Helm's SDK reads an index.
func parseIndex(data []byte) (*repo.IndexFile, error) {
	dir, err := os.MkdirTemp("", "idp-index-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "index.yaml")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return nil, err
	}
	return repo.LoadIndexFile(file)
}

// fetch gets an archive from an HTTP or OCI address.
func (u *upstream) fetch(ctx context.Context, where string, dep platform.Dependency) ([]byte, error) {
	if !registry.IsOCI(where) {
		return u.download(ctx, where, maxArchive)
	}
	host := hostOf(where)
	if err := u.isDown(host); err != nil {
		return nil, &networkError{where, err}
	}
	started := time.Now()
	data, err := u.pull(ctx, where, dep.Version)
	if err != nil {
		return nil, u.failed(ctx, host, where, time.Since(started), err)
	}
	return data, nil
}

// pull gets a chart from an OCI registry. Helm's client takes no context, so it rides on the requests.
func (u *upstream) pull(ctx context.Context, where, version string) ([]byte, error) {
	bounded := *u.client
	bounded.Transport = withContext{ctx, u.client.Transport}
	options := []registry.ClientOption{registry.ClientOptHTTPClient(&bounded), registry.ClientOptWriter(io.Discard)}
	if u.plainHTTP {
		options = append(options, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return nil, err
	}
	result, err := client.Pull(strings.TrimPrefix(where, registry.OCIScheme+"://")+":"+strings.ReplaceAll(version, "+", "_"), registry.PullOptWithChart(true))
	if err != nil {
		return nil, err
	}
	return result.Chart.Data, nil
}

type withContext struct {
	ctx  context.Context
	next http.RoundTripper
}

func (w withContext) RoundTrip(request *http.Request) (*http.Response, error) {
	next := w.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(request.WithContext(w.ctx))
}

// download reads a URL of at most limit bytes.
func (u *upstream) download(ctx context.Context, address string, limit int64) ([]byte, error) {
	host := hostOf(address)
	if err := u.isDown(host); err != nil {
		return nil, &networkError{address, err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%s is no address to download from: %w", address, err)
	}
	request.Header.Set("User-Agent", "idp")
	started := time.Now()
	response, err := u.client.Do(request)
	if err != nil {
		return nil, u.failed(ctx, host, address, time.Since(started), err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, &networkError{address, fmt.Errorf("the server answered %s", response.Status)}
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, u.failed(ctx, host, address, time.Since(started), err)
	}
	if int64(len(data)) > limit {
		return nil, &ArchiveError{Where: address, Msg: fmt.Sprintf("more than %d MiB", limit>>20)}
	}
	return data, nil
}

func hostOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return address
	}
	return parsed.Host
}

func (u *upstream) isDown(host string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.down[host]; err != nil {
		return err
	}
	return u.slow.recent(host)
}

// failed remembers the host, so that ten charts of one repository don't wait for it ten times.
func (u *upstream) failed(ctx context.Context, host, address string, took time.Duration, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	u.mu.Lock()
	u.down[host] = err
	u.mu.Unlock()
	if took > slowAnswer {
		u.slow.remember(host)
	}
	return &networkError{address, err}
}
