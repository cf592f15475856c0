package k3s

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var demo = Cluster{Name: "demo", Kubeconfig: "/kube/1.yaml"}

func TestTheServerLeavesTheNetworkToCilium(t *testing.T) {
	args := strings.Join(ServerArgs(demo, Node{Name: "control-plane-0", Pool: "control-plane", Taints: []Taint{{"node-role.kubernetes.io/control-plane", "", "NoSchedule"}}}), " ")
	for _, want := range []string{
		"k3s server", "--flannel-backend=none", "--disable-network-policy", "--disable-kube-proxy",
		"--disable traefik", "--disable servicelb", "--disable metrics-server",
		"--tls-san demo-server", "--write-kubeconfig /kube/1.yaml",
		"--kube-apiserver-arg default-unreachable-toleration-seconds=30", "--kube-apiserver-arg default-not-ready-toleration-seconds=30",
		"--node-name control-plane-0", "--node-label idp.dev/pool=control-plane",
		"--node-taint node-role.kubernetes.io/control-plane=:NoSchedule",
	} {
		require.Contains(t, args, want)
	}
	require.NotContains(t, args, "--token", "it would stand in the process list and in the graph")
}

func TestAgentsJoinByName(t *testing.T) {
	args := AgentArgs(demo, Node{Name: "infra-0", Pool: "infra", Labels: map[string]string{"zone": "b", "disk": "ssd"}})
	require.Equal(t, []string{
		"k3s", "agent", "--data-dir", "/var/lib/rancher/k3s", "--server", "https://demo-server:6443",
		"--node-name", "infra-0", "--node-label", "idp.dev/pool=infra", "--node-label", "disk=ssd", "--node-label", "zone=b",
	}, args)
	require.NotEqual(t, demo.URL(), Cluster{Name: "other"}.URL(), "two clusters in a session don't mix")
}

func TestNodes(t *testing.T) {
	all := []Node{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	server, agents, err := Nodes(all, 2)
	require.NoError(t, err)
	require.Equal(t, "a", server.Name)
	require.Equal(t, []Node{{Name: "b"}}, agents)
	for _, count := range []int{0, -1, 4} {
		_, _, err := Nodes(all, count)
		require.ErrorContains(t, err, "platform.yaml has 3 nodes")
	}
}

func TestTheEntrypointIsAShellScript(t *testing.T) {
	require.NotContains(t, Entrypoint(), "xargs")
	out, err := exec.CommandContext(t.Context(), "sh", "-n", "-c", Entrypoint()).CombinedOutput()
	require.NoError(t, err, string(out))
}
