package gitservice

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func run(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@localhost", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@localhost")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// newService serves a repository with one commit; the variables make git use it as a proxy.
func newService(t *testing.T) (address string) {
	t.Helper()
	root := t.TempDir()
	work := t.TempDir()
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "."},
		{"commit", "-q", "--allow-empty", "-m", "one"},
		{"clone", "-q", "--bare", ".", filepath.Join(root, "platform.git")},
	} {
		out, err := run(t, work, nil, args...)
		require.NoError(t, err, out)
	}
	handler, err := Handler(root, "secret")
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

const repository = "http://" + Host + "/platform.git"

func TestGitReadsThroughTheProxy(t *testing.T) {
	env := []string{"http_proxy=" + ProxyURL(newService(t), "secret")}
	out, err := run(t, t.TempDir(), env, "clone", "-q", repository, "x")
	require.NoError(t, err, out)

	dir := t.TempDir()
	out, err = run(t, dir, env, "clone", "-q", repository, ".")
	require.NoError(t, err, out)
	out, err = run(t, dir, env, "push", "-q", "origin", "main:other")
	require.Error(t, err, "it is read only: %s", out)
}

func TestThePasswordIsNeeded(t *testing.T) {
	address := newService(t)
	for _, proxy := range []string{"http://" + address, ProxyURL(address, "wrong")} {
		out, err := run(t, t.TempDir(), []string{"http_proxy=" + proxy}, "ls-remote", repository)
		require.Error(t, err, out)
		require.Contains(t, out, "407")
	}
}

func TestOtherHostsArePassedOn(t *testing.T) {
	var got http.Header
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		_, _ = io.WriteString(w, "other "+r.URL.Path)
	}))
	t.Cleanup(other.Close)
	proxy, err := url.Parse(ProxyURL(newService(t), "secret"))
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	response, err := client.Get(other.URL + "/a")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "other /a", string(body))
	require.Empty(t, got.Get("Proxy-Authorization"), "the password is nobody else's")
}

func TestItIsNoWebServer(t *testing.T) {
	request, err := http.NewRequest(http.MethodGet, "http://"+newService(t)+"/platform.git/info/refs", nil)
	require.NoError(t, err)
	request.Header.Set("Proxy-Authorization", basicAuth("secret"))
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	_ = response.Body.Close()
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.False(t, strings.Contains(response.Status, "200"))
}
