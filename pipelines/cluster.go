package pipelines

import (
	"context"
	"fmt"
	"path"

	"github.com/idp-blueprint/idp/internal/dagger"
	"github.com/idp-blueprint/idp/pipelines/graph"
	"github.com/idp-blueprint/idp/pipelines/images"
	"github.com/idp-blueprint/idp/pipelines/k3s"
)

// kubeDir is a volume that a cluster's server writes its kubeconfig into, and steps read it from: so it is in no layer, and what is
// kept of a step doesn't depend on it.
const (
	kubeDir    = "/kube"
	kubeconfig = kubeDir + "/config"
)

// Cluster is a cluster as services. What it holds is kept in volumes under its name, from one call to the next.
type Cluster struct {
	site     *Site
	provider string
	Server   *dagger.Service
	Agents   []*dagger.Service
}

// Cluster makes the services of a cluster with the first nodes of platform.yaml; none of them has been started.
func (s *Site) Cluster(ctx context.Context, provider string, nodes int) (*Cluster, error) {
	if err := graph.CheckProvider(provider); err != nil {
		return nil, err
	}
	plan, err := s.readPlan(ctx, "")
	if err != nil {
		return nil, err
	}
	if provider == graph.Embedded {
		if nodes != 0 && nodes != len(plan.Nodes) {
			return nil, fmt.Errorf("--nodes %d: the embedded cluster has the %d nodes of platform.yaml", nodes, len(plan.Nodes))
		}
		described, err := s.anchor(ctx, s.plan(""), "cluster", "cluster.json")
		if err != nil {
			return nil, err
		}
		return &Cluster{site: s, provider: provider, Server: s.embedded(described.File("cluster.json"))}, nil
	}
	return s.k3s(plan, nodes)
}

// host is the name under which the cluster's server is reached: clusters of other names in the same session don't mix with it.
func (s *Site) host() string { return k3s.Cluster{Name: s.Name}.Host() }

// kube is the volume of the cluster's kubeconfig.
func (s *Site) kube(ctr *dagger.Container) *dagger.Container {
	return ctr.WithMountedCache(kubeDir, s.Dag.CacheVolume("idp-"+s.Name+"-kube"), dagger.ContainerWithMountedCacheOpts{Owner: user})
}

// embedded is the real control plane with simulated nodes, in one container without any privilege. It depends on the nodes that
// platform.yaml names and on the program alone: it goes on while the layers change.
func (s *Site) embedded(described *dagger.File) *dagger.Service {
	return s.kube(s.base()).
		WithMountedCache(stateHome, s.Dag.CacheVolume("idp-"+s.Name+"-state"), dagger.ContainerWithMountedCacheOpts{
			Owner: user, Sharing: dagger.CacheSharingModeLocked,
		}).
		WithMountedDirectory("/src/embedded", s.ControlPlane).
		WithMountedFile("/src/cluster.json", described).
		WithExposedPort(k3s.Port).
		AsService(dagger.ContainerAsServiceOpts{Args: []string{
			"idp", "serve", "cluster", "/src/cluster.json", "--module", "/src/embedded", "--name", s.Name,
			"--listen", fmt.Sprintf(":%d", k3s.Port), "--server", k3s.Cluster{Name: s.Name}.URL(), "--kubeconfig", kubeconfig,
		}}).
		WithHostname(s.host())
}

// k3s is a server and agents that join it by name.
func (s *Site) k3s(plan graph.Plan, count int) (*Cluster, error) {
	var all []k3s.Node
	for _, n := range plan.Nodes {
		node := k3s.Node{Name: n.Name, Pool: n.Pool, Labels: n.Labels}
		for _, t := range n.Taints {
			node.Taints = append(node.Taints, k3s.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
		}
		all = append(all, node)
	}
	if count == 0 {
		count = len(all)
	}
	server, agents, err := k3s.Nodes(all, count)
	if err != nil {
		return nil, err
	}
	site := k3s.Cluster{Name: s.Name, Kubeconfig: kubeconfig}
	c := &Cluster{site: s, provider: graph.K3s}
	c.Server = s.k3sNode(server, k3s.ServerArgs(site, server), k3s.Port, k3s.HTTP, k3s.HTTPS).WithHostname(site.Host())
	for _, agent := range agents {
		// An agent has no port that says when it is up; the kubelet's is open as soon as it runs.
		c.Agents = append(c.Agents, s.k3sNode(agent, k3s.AgentArgs(site, agent), k3s.Kubelet).WithHostname(s.Name+"-"+agent.Name))
	}
	return c, nil
}

func (s *Site) k3sNode(node k3s.Node, args []string, ports ...int) *dagger.Service {
	ctr := s.kube(s.Dag.Container().From(images.Mirrored(images.K3s, s.Mirror))).
		WithoutEntrypoint().
		WithNewFile("/usr/local/bin/node", k3s.Entrypoint(), dagger.ContainerWithNewFileOpts{Permissions: 0o755}).
		WithMountedCache(k3s.DataDir, s.Dag.CacheVolume("idp-"+s.Name+"-"+node.Name), dagger.ContainerWithMountedCacheOpts{
			Sharing: dagger.CacheSharingModeLocked,
		}).
		WithEnvVariable("K3S_TOKEN_FILE", path.Join(kubeDir, "token"))
	for _, folder := range k3s.TemporaryMounts() {
		ctr = ctr.WithMountedTemp(folder)
	}
	for i, port := range ports {
		// Only the first says that the node is up: the gateway's ports open with the platform.
		ctr = ctr.WithExposedPort(port, dagger.ContainerWithExposedPortOpts{ExperimentalSkipHealthcheck: i > 0})
	}
	return ctr.AsService(dagger.ContainerAsServiceOpts{
		Args: append([]string{"sh", "/usr/local/bin/node"}, args...), InsecureRootCapabilities: true,
	})
}

// Bound is a container that reaches the cluster: it is started with it, and its kubeconfig is there.
func (c *Cluster) Bound(ctr *dagger.Container) *dagger.Container {
	ctr = c.site.kube(ctr).
		WithServiceBinding(c.site.host(), c.Server).
		WithEnvVariable("KUBECONFIG", kubeconfig)
	for i, agent := range c.Agents {
		ctr = ctr.WithServiceBinding(fmt.Sprintf("agent-%d", i), agent)
	}
	return ctr
}

// context is the cluster's name in its kubeconfig.
func (c *Cluster) context() string {
	if c.provider == graph.K3s {
		return "default"
	}
	return "idp-" + c.site.Name
}

// attach are the flags with which idp works on the cluster.
func (c *Cluster) attach() []string {
	return []string{"--cluster", "existing", "--context", c.context()}
}

// Kubeconfig is the cluster's kubeconfig, for containers of the same session or, local, for the host that `up` forwards to: then the
// cluster runs in another session, which has its volume, and only what it wrote is read. It is in a layer of its own from then on: it
// holds a private key, so keep neither.
func (c *Cluster) Kubeconfig(call string, local bool) *dagger.File {
	ctr := c.Bound(c.site.base())
	script := `tries=0
until [ -s "$KUBECONFIG" ]; do
  [ "$tries" -lt 120 ] || { echo "no kubeconfig after two minutes: with --local, run up first and leave it running" >&2; exit 124; }
  tries=$((tries + 1)); sleep 1
done
install -m 600 "$KUBECONFIG" /tmp/kubeconfig
`
	if local {
		ctr = c.site.kube(c.site.base()).WithEnvVariable("KUBECONFIG", kubeconfig)
		script += fmt.Sprintf("sed -i 's#server: .*#server: https://127.0.0.1:%d#' /tmp/kubeconfig\n", k3s.Port)
	}
	return ctr.
		WithEnvVariable("IDP_CALL", call).
		WithExec([]string{"sh", "-euc", script}).
		File("/tmp/kubeconfig")
}

// Started is the server once it and its agents run.
func (c *Cluster) Started(ctx context.Context) (*dagger.Service, error) {
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	return c.Server, nil
}
