package simulator

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	all := []string{"--kubeconfig", "k", "--nodes", "n", "--egress-socket", "e", "--ca-dir", "c", "--status-socket", "s"}
	tests := map[string]struct {
		args []string
		err  string
	}{
		"all":          {append([]string{"--except", "kyverno.io", "--except", "pyrra.dev"}, all...), ""},
		"one missing":  {all[:8], "simulator: --status-socket is needed"},
		"unknown flag": {append([]string{"--node", "n"}, all...), "flag provided but not defined: -node"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := parse(tt.args, io.Discard)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []string{"kyverno.io", "pyrra.dev"}, o.except)
		})
	}
}

func TestReadRoutes(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "real.sock")
	l, err := listenUnix(socket)
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	path := filepath.Join(dir, "routes.json")
	text, err := json.Marshal(map[string]string{"kyverno-svc.kyverno.svc": socket})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))

	routes, err := readRoutes(path)
	require.NoError(t, err)
	conn, err := routes["kyverno-svc.kyverno.svc"](context.Background())
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	none, err := readRoutes("")
	require.NoError(t, err)
	require.Empty(t, none)
	require.NoError(t, os.WriteFile(path, []byte("[]"), 0o600))
	_, err = readRoutes(path)
	require.ErrorContains(t, err, "parse the routes")
}

// A socket that a killed process left behind is replaced.
func TestStatusSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "run", "s.sock")
	stale, err := listenUnix(socket)
	require.NoError(t, err)
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, stale.Close())
	l, err := listenUnix(socket)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	done, ready, ended := newLedger(), make(chan struct{}), make(chan error, 1)
	go func() { ended <- serveStatus(ctx, l, done, ready) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	get := func() (r report) {
		res, err := client.Get("http://simulator/status")
		require.NoError(t, err)
		require.NoError(t, json.NewDecoder(res.Body).Decode(&r))
		require.NoError(t, res.Body.Close())
		return r
	}
	require.Equal(t, report{Simulated: []string{}}, get())
	done.Add("storage")
	done.Add("kubelet")
	done.Add("kubelet")
	close(ready)
	require.Equal(t, report{Ready: true, Simulated: []string{"kubelet", "storage"}}, get())
	cancel()
	require.NoError(t, <-ended)
}

func TestCRD(t *testing.T) {
	parse := func(text string) *crd {
		var c crd
		require.NoError(t, json.Unmarshal([]byte(text), &c))
		return &c
	}
	c := parse(`{"metadata":{"name":"foos.ex.dev"},"spec":{"versions":[{"name":"v1beta1","served":true},{"name":"v1","served":true,"storage":true,"subresources":{"status":{}}},{"name":"v1alpha1"}]},
		"status":{"conditions":[{"type":"Established","status":"True"}]}}`)
	require.True(t, c.established())
	v, ok := c.version("")
	require.True(t, ok)
	require.Equal(t, "v1", v.Name)
	require.NotNil(t, v.Subresources.Status)
	v, ok = c.version("v1beta1")
	require.True(t, ok)
	require.Nil(t, v.Subresources.Status)
	_, ok = c.version("v1alpha1")
	require.False(t, ok, "a version that isn't served can't be watched")

	require.False(t, parse(`{"status":{"conditions":[{"type":"Established","status":"False"}]}}`).established())
	require.False(t, parse(`{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},"status":{"conditions":[{"type":"Established","status":"True"}]}}`).established())
	require.False(t, parse(`{}`).established())

	copied := c.DeepCopyObject().(*crd)
	copied.Name = "other"
	require.Equal(t, "foos.ex.dev", c.Name)
}
