// Package state is the folder of one embedded cluster: where things lie in it, what idp tells the supervisor through it,
// and how processes that an earlier supervisor left behind are recognised.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSocketPath is what fits into a Unix socket's address on every system (104 bytes on macOS, 108 on Linux).
const maxSocketPath = 103

// Layout is the folder of one cluster.
type Layout struct{ Dir string }

// New returns the layout of dir, which must be short enough for the Unix sockets in it.
func New(dir string) (Layout, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Layout{}, fmt.Errorf("state folder %s: %w", dir, err)
	}
	l := Layout{Dir: abs}
	if longest := l.Path("run", "simulator.sock"); len(longest) > maxSocketPath {
		return Layout{}, fmt.Errorf("state folder %s: its path is too long for Unix sockets by %d characters: choose a shorter --name or XDG_STATE_HOME", abs, len(longest)-maxSocketPath)
	}
	return l, nil
}

// Path joins elements below the cluster's folder.
func (l Layout) Path(elem ...string) string {
	return filepath.Join(append([]string{l.Dir}, elem...)...)
}

// The files that more than one package touches.
func (l Layout) Spec() string           { return l.Path("cluster.json") }
func (l Layout) Nodes() string          { return l.Path("nodes.json") }
func (l Layout) Kubeconfig() string     { return l.Path("kubeconfig") }
func (l Layout) Control() string        { return l.Path("control.sock") }
func (l Layout) Processes() string      { return l.Path("run", "processes.json") }
func (l Layout) Ports() string          { return l.Path("run", "ports.json") }
func (l Layout) EtcdData() string       { return l.Path("etcd") }
func (l Layout) EtcdSocket() string     { return l.Path("run", "etcd.sock") }
func (l Layout) EgressSocket() string   { return l.Path("run", "egress.sock") }
func (l Layout) RedisSocket() string    { return l.Path("run", "redis.sock") }
func (l Layout) Git() string            { return l.Path("git") }
func (l Layout) Logs() string           { return l.Path("logs") }
func (l Layout) Log(n string) string    { return l.Path("logs", n+".log") }
func (l Layout) PKI(n ...string) string { return l.Path(append([]string{"pki"}, n...)...) }

// WriteJSON replaces file by value's JSON in one step, readable by this user alone.
func WriteJSON(file string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	return WriteFile(file, append(data, '\n'))
}

// WriteFile replaces file in one step, so that a reader or a crash never sees half of it; mode 0600.
func WriteFile(file string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when the rename worked
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return os.Rename(tmp.Name(), file)
}

// ReadJSON reads file into value. A file that does not exist leaves value as it is.
func ReadJSON(file string, value any) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, value); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
