package dagger

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const planJSON = `{"nodes": [
	{"name": "control-plane-0", "pool": "control-plane", "taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]},
	{"name": "infra-0", "pool": "infra"}, {"name": "workload-0", "pool": "workload", "labels": {"disk": "ssd"}}],
	"layers": [
	{"name": "base", "key": "k1", "file": "layers/base.json"},
	{"name": "top", "key": "k2", "needs": ["base"], "file": "layers/top.json"},
	{"name": "gitops", "key": "k3", "needs": ["base", "top"], "file": "layers/gitops.json", "handOver": true}]}`

const stateJSON = `{"cluster": {"uid": "uid-1"}, "layers": [
	{"name": "base", "state": "cached", "turn": "turn-base"}, {"name": "top", "state": "pending", "turn": "turn-top", "replaces": true},
	{"name": "gitops", "state": "pending", "turn": "turn-gitops"}]}`

// record is what a healthy engine answers.
func record() []answer {
	return []answer{
		{"contents", []string{"file(path: plan.json)"}, planJSON},
		{"stdout", []string{"layers state"}, stateJSON},
		{"stdout", []string{"/in/layers/base.json", "--turn turn-base"}, `{"name": "base", "state": "applied", "objects": 3, "at": "2020-01-01T00:00:00Z"}`},
		{"stdout", []string{"/in/layers/top.json", "--turn turn-top"}, `{"name": "top", "state": "applied", "objects": 2, "changed": 1, "at": "2999-01-01T00:00:00Z"}`},
		{"stdout", []string{"/in/layers/gitops.json", "--turn turn-gitops"}, `{"name": "gitops", "state": "applied", "at": "2999-01-01T00:00:00Z"}`},
		{"stdout", []string{"layers finish"}, "every Application is Synced and Healthy\n"},
	}
}

// started are the services that were started, in order.
func (r result) started() []string {
	var list []string
	for _, path := range r.asked {
		if ends(path, "start") {
			list = append(list, path)
		}
	}
	return list
}

func TestK3sNodes(t *testing.T) {
	r := run(t, call{function: "Cluster", args: map[string]any{"provider": "k3s", "nodes": 3}, answers: record()})
	require.Empty(t, r.failed)
	nodes := r.started()
	require.Len(t, nodes, 3, "one server, two agents")
	for i, node := range nodes {
		for _, want := range []string{
			"from(address: docker.io/rancher/k3s:", "insecureRootCapabilities: true", "args: [sh /usr/local/bin/node k3s",
			"withMountedTemp(path: /run)", "withMountedTemp(path: /var/run)", "withMountedTemp(path: /etc/lib/cni)",
			"withMountedTemp(path: /var/lib/kubelet)", "withMountedTemp(path: /var/log)",
			"path: /var/lib/rancher/k3s, sharing: LOCKED)",
			"mount --make-rshared /", "/sys/fs/cgroup/init/cgroup.procs", "/sys/fs/bpf",
			"withEnvVariable(name: K3S_TOKEN_FILE, value: /kube/token)", "withMountedCache(cache: .cacheVolume(key: idp-demo-kube), owner: 1000:1000, path: /kube)",
		} {
			require.Contains(t, node, want, "node %d", i)
		}
		require.NotContains(t, node, "--token ", "a token in an argument would stand in the graph")
	}
	server, agents := nodes[0], nodes[1:]
	for _, want := range []string{
		"k3s server", "--flannel-backend=none", "--disable-network-policy", "--disable-kube-proxy", "--disable traefik",
		"--disable servicelb", "--disable metrics-server", "--tls-san demo-server", "--write-kubeconfig /kube/config",
		"default-unreachable-toleration-seconds=30", "default-not-ready-toleration-seconds=30",
		"--node-name control-plane-0", "--node-label idp.dev/pool=control-plane", "--node-taint node-role.kubernetes.io/control-plane=:NoSchedule",
		"withHostname(hostname: demo-server)", "withExposedPort(port: 6443)", "withExposedPort(experimentalSkipHealthcheck: true, port: 443)",
		"cacheVolume(key: idp-demo-control-plane-0)",
	} {
		require.Contains(t, server, want)
	}
	for i, want := range [][]string{
		{"--node-name infra-0", "--node-label idp.dev/pool=infra", "withHostname(hostname: demo-infra-0)", "cacheVolume(key: idp-demo-infra-0)"},
		{"--node-name workload-0", "--node-label idp.dev/pool=workload", "--node-label disk=ssd", "withHostname(hostname: demo-workload-0)"},
	} {
		require.Contains(t, agents[i], "k3s agent --data-dir /var/lib/rancher/k3s --server https://demo-server:6443")
		require.NotContains(t, agents[i], "--node-taint")
		for _, part := range want {
			require.Contains(t, agents[i], part)
		}
	}
}

func TestTheEmbeddedClusterNeedsNoPrivilege(t *testing.T) {
	r := run(t, call{function: "Cluster", args: map[string]any{"provider": "embedded", "nodes": 0}, answers: record()})
	require.Empty(t, r.failed)
	require.Len(t, r.started(), 1)
	service := r.started()[0]
	for _, want := range []string{
		"withUser(name: 1000:1000)", "idp serve cluster /src/cluster.json", "--server https://demo-server:6443", "--kubeconfig /kube/config",
		"cacheVolume(key: idp-demo-state)", "withHostname(hostname: demo-server)", "withExposedPort(port: 6443)",
	} {
		require.Contains(t, service, want)
	}
	require.NotContains(t, service, "insecureRootCapabilities")
	require.NotContains(t, service, "SOURCE", "the cluster goes on while the layers change")
}

func TestTwoClustersShareNothing(t *testing.T) {
	one := run(t, call{function: "Cluster", args: map[string]any{"provider": "k3s"}, answers: record()}).started()
	two := run(t, call{function: "Cluster", args: map[string]any{"provider": "k3s"}, answers: record(), site: map[string]any{"Name": "other"}}).started()
	for i := range one {
		require.Equal(t, strings.ReplaceAll(one[i], "demo", "other"), two[i], "names of hosts and volumes are all that differs")
		require.NotContains(t, two[i], "demo")
	}
}

func TestEachLayerIsAStepOfItsOwn(t *testing.T) {
	r := run(t, call{function: "Bootstrap", args: map[string]any{"provider": "embedded"}, answers: record()})
	require.Empty(t, r.failed)
	require.Contains(t, r.returned, `2 layers: 1 ran, 1 hits`)
	require.NotContains(t, r.returned, "gitops", "that is the hand-over's")

	state := r.path(t, "stdout", "idp layers state /plan", "--cluster existing --context idp-demo")
	require.Contains(t, state, "name: IDP_CALL", "what a cluster has is asked for at every call")
	base := r.path(t, "stdout", "withMountedFile(path: /in/layers/base.json", "--turn turn-base")
	top := r.path(t, "stdout", "withMountedFile(path: /in/layers/top.json", "--turn turn-top")
	for _, step := range []string{base, top} {
		require.Contains(t, step, "withEnvVariable(name: IDP_CLUSTER_UID, value: uid-1)")
		require.Contains(t, step, "withServiceBinding(alias: demo-server")
		require.NotContains(t, step, "IDP_CALL", "nothing of the call may be in what the result is kept under")
		require.NotContains(t, step, "SOURCE", "the source is in it by the content of the layer's file alone, or every edit would run every layer")
		require.NotContains(t, step, "idp layers plan")
	}
	require.NotContains(t, base, "/receipts/")
	require.Contains(t, top, "withMountedFile(path: /receipts/base")
	require.NotContains(t, base, "--among")
	require.Contains(t, top, "--among /in/objects.json", "it replaces another state of itself")
}

func TestHandOver(t *testing.T) {
	r := run(t, call{function: "HandOver", args: map[string]any{"provider": "embedded"}, answers: record()})
	require.Empty(t, r.failed)
	require.Contains(t, r.returned, "every Application is Synced and Healthy")
	git := r.path(t, "start", "idp serve git /staged")
	require.Contains(t, git, "withHostname(hostname: demo-git)")
	require.Contains(t, git, "--git-url http://demo-git:8080/platform.git")
	last := r.path(t, "stdout", "withMountedFile(path: /in/layers/gitops.json", "--turn turn-gitops")
	require.Contains(t, last, "--definitions /in/definitions.json")
	require.Contains(t, r.path(t, "stdout", "idp layers finish /plan"), "name: IDP_CALL")

	r = run(t, call{function: "HandOver", args: map[string]any{"provider": "embedded", "gitUrl": "https://example.org/p.git"}, answers: record()})
	require.Empty(t, r.failed)
	for _, path := range r.asked {
		require.NotContains(t, path, "serve git")
	}
}

func TestUpIsReachable(t *testing.T) {
	r := run(t, call{function: "Up", args: map[string]any{"provider": "k3s"}, answers: record()})
	require.Empty(t, r.failed)
	for _, want := range []string{":6443=demo-server:6443", ":80=demo-server:80", ":443=demo-server:443", "withServiceBinding(alias: git"} {
		require.Contains(t, r.returned, want)
	}
}

func TestKubeconfigs(t *testing.T) {
	r := run(t, call{function: "Kubeconfig", args: map[string]any{"provider": "k3s", "local": false}, answers: record()})
	require.Empty(t, r.failed)
	require.Contains(t, r.returned, "withServiceBinding(alias: demo-server", "the cluster is started for it")
	require.NotContains(t, r.returned, "127.0.0.1")

	r = run(t, call{function: "Kubeconfig", args: map[string]any{"provider": "k3s", "local": true}, answers: record()})
	require.Empty(t, r.failed)
	require.Contains(t, r.returned, "server: https://127.0.0.1:6443")
	require.Contains(t, r.returned, "cacheVolume(key: idp-demo-kube)")
	require.NotContains(t, r.returned, "withServiceBinding", "up, in another session, has the cluster's volume")
}

func TestAMirrorStandsInForAllRegistries(t *testing.T) {
	r := run(t, call{
		function: "Cluster", args: map[string]any{"provider": "k3s"}, answers: record(),
		site: map[string]any{"Mirror": "registry.example/cache", "GoProxy": "https://proxy.example"},
	})
	require.Empty(t, r.failed)
	for _, path := range r.asked {
		require.NotContains(t, path, "docker.io")
	}
	require.Contains(t, r.started()[0], "registry.example/cache/rancher/k3s:")
	require.Contains(t, r.path(t, "contents", "plan.json"), "name: GOPROXY, value: https://proxy.example")
}

func TestBadInput(t *testing.T) {
	for name, c := range map[string]struct {
		call call
		says string
	}{
		"an unknown provider": {call{function: "Bootstrap", args: map[string]any{"provider": "kind"}}, `there is no provider "kind": use embedded or k3s`},
		"an unknown layer": {
			call{function: "Layer", args: map[string]any{"provider": "embedded", "name": "tpo"}},
			`there is no layer "tpo": IT/layers.yaml has base, top, gitops`,
		},
		"too many nodes": {call{function: "Cluster", args: map[string]any{"provider": "k3s", "nodes": 9}}, "platform.yaml has 3 nodes"},
		"an image that can't be had": {
			call{function: "Cluster", args: map[string]any{"provider": "k3s"}, fails: map[string]string{"rancher/k3s": "failed to resolve image docker.io/rancher/k3s"}},
			"failed to resolve image docker.io/rancher/k3s",
		},
		"a source without platform.yaml": {
			call{function: "Bootstrap", args: map[string]any{"provider": "embedded"}, fails: map[string]string{"plan.json": "idp: --source /src: there is no platform.yaml in it"}},
			"there is no platform.yaml in it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.call.answers = record()
			r := run(t, c.call)
			require.Empty(t, r.returned)
			require.Contains(t, r.failed, c.says)
			for _, path := range r.asked {
				require.NotContains(t, path, "layers apply", "nothing was brought up")
			}
		})
	}
}

func TestAFailureShowsTheCluster(t *testing.T) {
	r := run(t, call{
		function: "Bootstrap", args: map[string]any{"provider": "embedded"},
		fails:   map[string]string{"--turn turn-top": "exit code: 124"},
		answers: append(record(), answer{"combinedOutput", []string{"kubectl get nodes"}, "node infra-0 NotReady"}),
	})
	require.Contains(t, r.failed, "layer top")
	require.Contains(t, r.failed, "exit code: 124")
	require.Contains(t, r.failed, "node infra-0 NotReady")
	require.Contains(t, r.path(t, "combinedOutput", "kubectl get nodes"), "timeout 45", "looking is bounded too")
}
