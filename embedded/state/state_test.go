package state

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPortsAreKeptUntilTheyAreTaken(t *testing.T) {
	ports := Ports{}
	first, changed, err := ports.Keep("a")
	require.NoError(t, err)
	require.True(t, changed)
	again, changed, err := ports.Keep("a")
	require.NoError(t, err)
	require.False(t, changed)
	require.Equal(t, first, again)

	taken, err := net.Listen("tcp", ports.Address("a"))
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	other, changed, err := ports.Keep("a")
	require.NoError(t, err)
	require.True(t, changed)
	require.NotEqual(t, first, other)
	require.Equal(t, other, ports["a"])
}

func TestReadSpec(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"ours":          {content: `{"schema": 1, "name": "demo"}`},
		"other version": {content: `{"schema": 2, "name": "demo"}`, want: "idp down --name demo"},
		"no JSON":       {content: `x`, want: "cluster.json"},
		"none":          {want: "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			l := Layout{Dir: t.TempDir()}
			if c.content != "" {
				require.NoError(t, os.WriteFile(l.Spec(), []byte(c.content), 0o600))
			}
			spec, err := ReadSpec(l)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "demo", spec.Name)
		})
	}
}

func TestPathsMustFitIntoSockets(t *testing.T) {
	_, err := New("/" + strings.Repeat("x", 90))
	require.ErrorContains(t, err, "shorter --name or XDG_STATE_HOME")
	_, err = New("/tmp/x")
	require.NoError(t, err)
}

func TestWriteFileIsPrivateAndWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	require.NoError(t, WriteFile(file, []byte("one")))
	require.NoError(t, WriteFile(file, []byte("two")))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "two", string(data))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file stays")
}

func TestPrivateEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, WriteJSON(file, map[string]string{"IDP_TEST_SECRET": "s"}))
	name, value, _ := strings.Cut(PrivateEnvironment(file), "=")
	require.NotContains(t, value, "secret")
	t.Setenv(name, value)
	t.Setenv("IDP_TEST_SECRET", "")
	require.NoError(t, LoadPrivateEnvironment())
	require.Equal(t, "s", os.Getenv("IDP_TEST_SECRET"))
	require.Empty(t, os.Getenv(name))
}

func TestKillEndsOnlyTheProcessThatIsMeant(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	p, err := Identify("sleep", cmd.Process.Pid)
	require.NoError(t, err)
	require.True(t, p.Alive())

	recycled := p
	recycled.Start = "another boot/1"
	require.False(t, recycled.Alive())
	require.NoError(t, recycled.Kill(time.Second))
	require.True(t, p.Alive())

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	require.NoError(t, p.Kill(10*time.Second))
	require.Error(t, <-ended)
	require.False(t, p.Alive())
}
