// Package k3s says how a node of k3s is run in a container: with what it is mounted, started and told. It starts nothing.
package k3s

import (
	"fmt"
	"maps"
	"slices"
)

// Port is where the API server listens.
const Port = 6443

// Kubelet is where every node's kubelet listens.
const Kubelet = 10250

// The ports of the gateway on a node.
const (
	HTTP  = 80
	HTTPS = 443
)

// DataDir holds images and the cluster's database. It has to be a volume: overlays can't be stacked.
const DataDir = "/var/lib/rancher/k3s"

// Node is one node of the cluster.
type Node struct {
	Name   string
	Pool   string
	Labels map[string]string
	Taints []Taint
}

// Taint is a node taint.
type Taint struct{ Key, Value, Effect string }

// Cluster is what all of its nodes have to know.
type Cluster struct {
	Name       string
	Kubeconfig string // file, on the server, unique to this start: one that an earlier start left must not be taken for it
}

// Host is the name under which a cluster's server is reached: with it clusters in one session don't mix.
func (c Cluster) Host() string { return c.Name + "-server" }

// URL is where the API server is reached.
func (c Cluster) URL() string { return fmt.Sprintf("https://%s:%d", c.Host(), Port) }

// TemporaryMounts are folders that k3s and Cilium need as file systems of their own and that nobody has to keep.
func TemporaryMounts() []string {
	return []string{"/run", "/var/run", "/etc/lib/cni", "/var/lib/kubelet", "/var/log"}
}

// Entrypoint prepares the container for nested containers and Cilium, then becomes what it is told to run. On cgroup v2 a group that
// has processes can't hand controllers on, so all move into one below: k3s does that only as process 1. It is done with the shell
// alone, since the image has no xargs.
func Entrypoint() string {
	return `set -eu
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p /sys/fs/cgroup/init
  while read -r pid; do echo "$pid" > /sys/fs/cgroup/init/cgroup.procs 2>/dev/null || true; done < /sys/fs/cgroup/cgroup.procs
  read -r controllers < /sys/fs/cgroup/cgroup.controllers
  for controller in $controllers; do echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control; done
fi
mount --make-rshared /
mount -t bpf bpf /sys/fs/bpf 2>/dev/null || true
# The server makes the token once, beside its kubeconfig, where only nodes and steps of this cluster look; agents wait for it.
tries=0
until [ -s "$K3S_TOKEN_FILE" ]; do
  if [ "$2" = server ]; then
    read -r token < /proc/sys/kernel/random/uuid
    echo "$token" > "$K3S_TOKEN_FILE"
  elif [ "$tries" -ge 120 ]; then
    echo "no token in $K3S_TOKEN_FILE after two minutes: the server did not start" >&2
    exit 124
  else
    tries=$((tries + 1))
    sleep 1
  fi
done
exec "$@"
`
}

// ServerArgs start the server. Cilium is the network, the proxy and the gateway, so k3s brings none of its own.
func ServerArgs(c Cluster, n Node) []string {
	args := []string{
		"k3s", "server",
		"--data-dir", DataDir,
		"--tls-san", c.Host(), "--tls-san", "localhost",
		"--write-kubeconfig", c.Kubeconfig, "--write-kubeconfig-mode", "0644",
		"--flannel-backend=none", "--disable-network-policy", "--disable-kube-proxy",
		"--disable", "traefik", "--disable", "servicelb", "--disable", "metrics-server",
		// A lost node's pods move after half a minute instead of five.
		"--kube-apiserver-arg", "default-not-ready-toleration-seconds=30",
		"--kube-apiserver-arg", "default-unreachable-toleration-seconds=30",
	}
	return append(args, nodeArgs(n)...)
}

// AgentArgs start an agent, which joins the server by name.
func AgentArgs(c Cluster, n Node) []string {
	return append([]string{"k3s", "agent", "--data-dir", DataDir, "--server", c.URL()}, nodeArgs(n)...)
}

func nodeArgs(n Node) []string {
	args := []string{"--node-name", n.Name, "--node-label", "idp.dev/pool=" + n.Pool}
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		args = append(args, "--node-label", key+"="+n.Labels[key])
	}
	for _, t := range n.Taints {
		args = append(args, "--node-taint", fmt.Sprintf("%s=%s:%s", t.Key, t.Value, t.Effect))
	}
	return args
}

// Nodes picks the server and its agents of the platform's nodes: the first is the server. count may leave some out, from the end.
func Nodes(all []Node, count int) (server Node, agents []Node, err error) {
	if count < 1 || count > len(all) {
		return Node{}, nil, fmt.Errorf("--nodes %d: platform.yaml has %d nodes in its pools: use 1 to %d, or add nodes there", count, len(all), len(all))
	}
	return all[0], all[1:count], nil
}
