package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/cluster"
)

func newSpec(t *testing.T) Spec {
	t.Helper()
	// Not t.TempDir: its long path doesn't fit into a socket's address.
	dir, err := os.MkdirTemp("", "idp")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return Spec{Name: "demo", StateDir: filepath.Join(dir, "s"), CacheDir: filepath.Join(dir, "c"), ModuleDir: filepath.Join(dir, "m")}
}

func quiet(cluster.Progress) {}

func TestSpecValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Spec)
		want   string
	}{
		"fine":            {change: func(*Spec) {}},
		"upper case":      {change: func(s *Spec) { s.Name = "Demo" }, want: "lower-case"},
		"path in a name":  {change: func(s *Spec) { s.Name = "../x" }, want: "lower-case"},
		"empty name":      {change: func(s *Spec) { s.Name = "" }, want: "lower-case"},
		"relative folder": {change: func(s *Spec) { s.StateDir = "x" }, want: "absolute"},
		"too long a path": {change: func(s *Spec) { s.StateDir = "/" + strings.Repeat("x", 100) }, want: "shorter --name or XDG_STATE_HOME"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpec(t)
			c.change(&s)
			err := s.validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestCheckVersion(t *testing.T) {
	s := Spec{ModuleDir: "/x", KubernetesVersion: "v1.37.2"}
	require.NoError(t, s.checkVersion("v1.37.2"))
	err := s.checkVersion("v1.38.0")
	require.ErrorContains(t, err, "set global.platform.kubernetes.version to v1.38.0")
	s.KubernetesVersion = ""
	require.NoError(t, s.checkVersion("v1.38.0"))
}

func TestStateOfAnotherVersionIsRefused(t *testing.T) {
	for name, content := range map[string]string{"other number": `{"schema": 99, "name": "demo"}`, "no JSON": `version 0`} {
		t.Run(name, func(t *testing.T) {
			s := newSpec(t)
			require.NoError(t, os.MkdirAll(s.StateDir, 0o700))
			require.NoError(t, os.WriteFile(s.file("cluster.json"), []byte(content), 0o600))
			_, err := New(s).Up(t.Context(), quiet)
			require.ErrorContains(t, err, "idp down --name demo")
			require.ErrorContains(t, err, s.file("cluster.json"))
			require.NoError(t, New(s).Down(t.Context(), quiet), "down must remove it all the same")
			require.NoDirExists(t, s.StateDir)
		})
	}
}

func TestTwoAtOnce(t *testing.T) {
	s := newSpec(t)
	first, second := New(s), New(s)
	require.NoError(t, first.acquire())
	err := second.acquire()
	require.ErrorContains(t, err, fmt.Sprintf("process %d", os.Getpid()))
	require.ErrorContains(t, err, "--name")
	require.NoError(t, first.Close())
	require.NoError(t, second.acquire())
	require.NoError(t, second.Close())
}

func TestLockOfARemovedFolder(t *testing.T) {
	s := newSpec(t)
	p := New(s)
	require.NoError(t, p.acquire())
	require.NoError(t, os.RemoveAll(s.StateDir))
	require.NoError(t, New(s).acquire(), "a lock on a file that is gone must not be in the way")
	require.NoError(t, p.Close())
}

func TestNotRunning(t *testing.T) {
	_, err := New(newSpec(t)).Access(t.Context())
	require.ErrorIs(t, err, cluster.ErrNotRunning)
	require.ErrorContains(t, err, "idp up --name demo")
}

func TestDownTwice(t *testing.T) {
	s := newSpec(t)
	require.NoError(t, os.MkdirAll(s.file("etcd"), 0o700))
	require.NoError(t, New(s).Down(t.Context(), quiet))
	require.NoDirExists(t, s.StateDir)
	require.NoError(t, New(s).Down(t.Context(), quiet))
	require.NoDirExists(t, s.StateDir)
}

// sleeper starts a process that does nothing, in a group of its own.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func TestDownEndsOrphansAndNobodyElse(t *testing.T) {
	s := newSpec(t)
	orphan, stranger := sleeper(t), sleeper(t)
	start, err := startTime(orphan.Process.Pid)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(s.file("run"), 0o700))
	require.NoError(t, writeJSON(s.file("run", "processes.json"), processes{
		Supervisor: process{Name: "supervise", PID: stranger.Process.Pid, Start: "another boot/1"},
		Children:   []process{{Name: "etcd", PID: orphan.Process.Pid, Start: start}},
	}))
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	require.NoError(t, New(s).Down(t.Context(), quiet))
	require.Error(t, <-ended, "the orphan must be killed")
	require.True(t, running(stranger.Process.Pid), "a process that has its id from a dead one must live")
}

func TestParseStat(t *testing.T) {
	tail := strings.Repeat(" 0", 18) + " 4711 0 0"
	start, err := parseStat([]byte("12 (a) name (x) S" + tail))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(start, "/4711"), start)
	for _, bad := range []string{"12 (x) Z" + tail, "12 (x) X" + tail, "12 (x)", ""} {
		_, err := parseStat([]byte(bad))
		require.Error(t, err, bad)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (x) S 0 0"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseStat(data) })
}

// supervisor answers on the control socket of s.
func supervisor(t *testing.T, s Spec, answer func(r *http.Request) (any, int)) {
	t.Helper()
	require.NoError(t, os.MkdirAll(s.StateDir, 0o700))
	l, err := net.Listen("unix", s.file("control.sock"))
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value, code := answer(r)
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(value)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

func TestAwait(t *testing.T) {
	type answer = map[string]any
	for name, c := range map[string]struct {
		answers []answer
		want    string
	}{
		"ready":            {answers: []answer{{"doing": "waiting for etcd"}, {"ready": true}}},
		"failed":           {answers: []answer{{"failed": "etcd does not stay up"}}, want: "etcd does not stay up"},
		"disk full":        {answers: []answer{{"failed": "write: no space left on device"}}, want: "the disk is full: make room"},
		"bound by context": {answers: []answer{{}}, want: "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpec(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			calls := 0
			supervisor(t, s, func(*http.Request) (any, int) {
				i := min(calls, len(c.answers)-1)
				calls++
				if calls > 3 {
					cancel()
				}
				return c.answers[i], http.StatusOK
			})
			err := New(s).await(ctx, quiet, 0)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestAwaitNoticesADeadSupervisor(t *testing.T) {
	s := newSpec(t)
	require.NoError(t, os.MkdirAll(s.file("logs"), 0o700))
	require.NoError(t, os.WriteFile(s.file("logs", "supervise.log"), []byte("no such file\n"), 0o600))
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	err := New(s).await(t.Context(), quiet, cmd.Process.Pid)
	var failed *startError
	require.ErrorAs(t, err, &failed)
	require.ErrorContains(t, err, "no such file")
}

func TestUsageAndEndpoints(t *testing.T) {
	s := newSpec(t)
	supervisor(t, s, func(*http.Request) (any, int) {
		return map[string]any{
			"endpoints": map[string]string{"kubernetes": "https://127.0.0.1:1"},
			"processes": []map[string]any{{"name": "etcd", "rss": 20, "pss": 10}, {"name": "old", "rss": 5}},
		}, http.StatusOK
	})
	usage, err := New(s).Usage(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"etcd": 10, "old": 5}, usage)
	endpoints, err := New(s).Endpoints(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"kubernetes": "https://127.0.0.1:1"}, endpoints)
}

func TestSave(t *testing.T) {
	s := newSpec(t)
	var requests []map[string]any
	supervisor(t, s, func(r *http.Request) (any, int) {
		var request map[string]any
		if json.NewDecoder(r.Body).Decode(&request) == nil {
			requests = append(requests, request)
		}
		return struct{}{}, http.StatusOK
	})
	p := New(s)
	require.Error(t, p.Save(t.Context(), nil), "without Up it isn't known which program wrote the data")
	p.program = program{key: "p", kubernetes: "v1.37.2"}
	require.NoError(t, p.Save(t.Context(), map[string]string{"a": "1"}))
	require.Len(t, requests, 1)
	require.Equal(t, map[string]any{"a": "1"}, requests[0]["description"].(map[string]any)["keys"])
	file := requests[0]["meta"].(string)
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	require.NoError(t, p.Save(t.Context(), map[string]string{"a": "1"}))
	require.Len(t, requests, 1, "one that is there is not taken again")
}

func TestSupervisorErrorsAreShown(t *testing.T) {
	s := newSpec(t)
	supervisor(t, s, func(*http.Request) (any, int) {
		return map[string]string{"error": "no process is called \"x\""}, http.StatusInternalServerError
	})
	require.ErrorContains(t, New(s).control().restart(t.Context(), "x"), "no process is called")
}

func TestExplain(t *testing.T) {
	require.NoError(t, explain(nil))
	require.ErrorContains(t, explain(fmt.Errorf("x: %w", syscall.ENOSPC)), "the disk is full")
	require.ErrorContains(t, explain(os.ErrPermission), "XDG_STATE_HOME")
	other := errors.New("other")
	require.Equal(t, other, explain(other))
}

func TestEnoughRoom(t *testing.T) {
	require.NoError(t, enoughRoom(t.TempDir(), 1, "x"))
	require.ErrorContains(t, enoughRoom(t.TempDir(), 1<<60, "the cluster's data"), "the cluster's data needs")
}

func TestDetachSurvivesAndLogs(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	pid, err := detach(log, "sh", "-c", "echo $$; exec sleep 60")
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	require.Eventually(t, func() bool {
		file, err := os.Open(log)
		if err != nil {
			return false
		}
		defer func() { _ = file.Close() }()
		line, _ := bufio.NewReader(file).ReadString('\n')
		return strings.TrimSpace(line) == fmt.Sprint(pid)
	}, 10*time.Second, 10*time.Millisecond)
	group, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	require.Equal(t, pid, group, "a group of its own: a Ctrl-C for idp must not reach it")
}
