// Package embedded is the provider of clusters that run on this machine without containers: it builds the program of the
// folder embedded/ on first use, and starts one supervisor a cluster, which goes on when idp ends.
package embedded

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// schema is the version of the cluster folder's files; the program in embedded/ knows the same number.
const schema = 1

// maxSocketPath is what fits into a Unix socket's address on every system (104 bytes on macOS).
const maxSocketPath = 103

// longestSocket is the longest of the sockets in a cluster's folder.
const longestSocket = "run/simulator.sock"

// Spec is the cluster that is wanted.
type Spec struct {
	Name              string
	StateDir          string // the folder of this cluster
	CacheDir          string // shared by all clusters: the built program, snapshots
	ModuleDir         string // the checkout's embedded/; needed by Up alone
	KubernetesVersion string // what the checkout is rendered for, "v1.37.2"; empty: whatever the program is
	Nodes             []Node
	// Wanted are the keys that the platform's layers have now. A new cluster starts from a snapshot that holds no other keys.
	Wanted map[string]string
}

// Node is a simulated node. The JSON form is the file that the simulator reads.
type Node struct {
	Name   string            `json:"name"`
	Pool   string            `json:"pool"`
	CPU    string            `json:"cpu"`    // a Kubernetes quantity
	Memory string            `json:"memory"` // a Kubernetes quantity
	Labels map[string]string `json:"labels,omitempty"`
	Taints []Taint           `json:"taints,omitempty"`
}

// Taint is a node taint.
type Taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

var namePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// validate checks what would fail later, and less clearly.
func (s Spec) validate() error {
	if !namePattern.MatchString(s.Name) {
		return fmt.Errorf("cluster name %q: lower-case letters, digits and - only, at most 40 characters", s.Name)
	}
	if !filepath.IsAbs(s.StateDir) || !filepath.IsAbs(s.CacheDir) {
		return fmt.Errorf("state folder %q and cache folder %q must be absolute", s.StateDir, s.CacheDir)
	}
	if over := len(filepath.Join(s.StateDir, longestSocket)) - maxSocketPath; over > 0 {
		return fmt.Errorf("state folder %s: its path is too long for Unix sockets by %d characters: choose a shorter --name or XDG_STATE_HOME", s.StateDir, over)
	}
	return nil
}

// file is a path in the cluster's folder.
func (s Spec) file(elem ...string) string {
	return filepath.Join(append([]string{s.StateDir}, elem...)...)
}

// GitDir is the bare repository that the cluster serves to Argo CD as platform.git. It may be filled before Up.
func (p *Provider) GitDir() string { return p.spec.file("git", "platform.git") }

// checkVersion compares what the checkout is rendered for with what the program is.
func (s Spec) checkVersion(program string) error {
	if s.KubernetesVersion == "" || program == "" || strings.TrimPrefix(s.KubernetesVersion, "v") == strings.TrimPrefix(program, "v") {
		return nil
	}
	return fmt.Errorf("platform.yaml asks for Kubernetes %s, the embedded control plane is %s: set global.platform.kubernetes.version to %s, or change k8s.io/kubernetes in %s",
		s.KubernetesVersion, program, program, filepath.Join(s.ModuleDir, "go.mod"))
}

var errNoModule = errors.New("no checkout was found to build the control plane from: run idp in a checkout of the platform")
