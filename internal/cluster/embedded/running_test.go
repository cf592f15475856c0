package embedded

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAwaitRunning asks a supervisor whose last process starts only after it was asked a few times.
func TestAwaitRunning(t *testing.T) {
	const asked = 3
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, "control.sock"))
	require.NoError(t, err)
	var calls atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		argo := map[string]string{"name": "argocd-repo-server", "state": "waiting", "waiting": "the platform to install Argo CD"}
		if calls.Add(1) > asked {
			argo["state"] = "running"
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": true, "processes": []any{map[string]string{"name": "etcd", "state": "running"}, argo}})
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	p := &Provider{spec: Spec{Name: "one", StateDir: dir}}
	require.NoError(t, p.AwaitRunning(t.Context()))
	require.EqualValues(t, asked+1, calls.Load())
}

func TestStatusNotRunning(t *testing.T) {
	tests := map[string]struct{ answer, want string }{
		"all run":    {`{"processes": [{"name": "etcd", "state": "running"}]}`, ""},
		"waiting":    {`{"processes": [{"name": "etcd", "state": "running"}, {"name": "repo", "state": "waiting", "waiting": "etcd"}]}`, "repo is waiting for etcd"},
		"crashed":    {`{"processes": [{"name": "etcd", "state": "restarting"}]}`, "etcd is restarting"},
		"none known": {`{}`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var st status
			require.NoError(t, json.Unmarshal([]byte(tt.answer), &st))
			require.Equal(t, tt.want, st.notRunning())
		})
	}
}
