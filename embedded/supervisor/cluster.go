package supervisor

import (
	"bytes"
	"context"
	"embed"
	"os"
	"path/filepath"
	"strconv"
	"text/template"

	"github.com/idp-blueprint/idp/embedded/memory"
	"github.com/idp-blueprint/idp/embedded/state"
)

//go:embed config bin
var configFiles embed.FS

// The programs that the supervisor runs, by the name they are dispatched on.
const (
	etcd              = "etcd"
	apiServer         = "kube-apiserver"
	controllerManager = "kube-controller-manager"
	scheduler         = "kube-scheduler"
	simulator         = "simulator"
	repoServer        = "argocd-repo-server"
	appController     = "argocd-application-controller"
	applicationSet    = "argocd-applicationset-controller"
	admin             = "admin"
)

const portAPIServer = "kubernetes"

// essential says whether the cluster counts as ready only with this program. Argo CD comes with the platform.
func essential(name string) bool {
	switch name {
	case etcd, apiServer, controllerManager, scheduler, simulator:
		return true
	}
	return false
}

// cluster is what the children's commands are made of.
type cluster struct {
	s         *supervisor
	keys      *keyring
	apiserver *child
	clients   []*child // they read the API server's address at their start
	argo      gate     // everything that Argo CD's processes read is there
}

// newCluster makes the children, in tiers that need those before them.
func (s *supervisor) newCluster(ctx context.Context, keys *keyring) ([][]*child, error) {
	c := &cluster{s: s, keys: keys}
	for _, file := range []string{"audit-policy.yaml", "egress.yaml", "scheduler.yaml"} {
		if err := c.writeConfig(file); err != nil {
			return nil, err
		}
	}
	if _, _, err := s.port(portAPIServer); err != nil {
		return nil, err
	}
	if err := keys.writeKubeconfigs(s.spec.Name, s.address(portAPIServer)); err != nil {
		return nil, err
	}
	database := &child{
		name:  etcd,
		args:  c.etcdArgs,
		env:   c.env(50, 800),
		after: c.etcdServes,
	}
	c.apiserver = &child{
		name: apiServer,
		before: func(ctx context.Context, waiting func(string)) error {
			waiting("etcd")
			return database.up.Wait(ctx)
		},
		args:  c.apiServerArgs,
		env:   c.env(40, 2600),
		after: c.apiServerServes,
	}
	c.clients = []*child{
		{name: controllerManager, args: c.controllerManagerArgs, env: c.env(50, 800)},
		{name: scheduler, args: c.schedulerArgs, env: c.env(50, 800)},
		c.newSimulator(),
	}
	for _, client := range c.clients {
		if client.before == nil {
			client.before = c.waitForAPI
		}
	}
	platform, err := c.newArgoCD(ctx)
	if err != nil {
		return nil, err
	}
	c.clients = append(c.clients, platform...)
	go c.watchForArgoCD(ctx)
	return [][]*child{{database}, {c.apiserver}, c.clients}, nil
}

func (c *cluster) waitForAPI(ctx context.Context, waiting func(string)) error {
	waiting("the API server")
	return c.apiserver.up.Wait(ctx)
}

func (c *cluster) etcdArgs() ([]string, error) {
	l := c.s.layout
	// A socket file of a killed etcd would be in the way of a new one.
	peer := l.Path("run", "etcd-peer.sock")
	for _, socket := range []string{l.EtcdSocket(), peer} {
		if err := os.RemoveAll(socket); err != nil {
			return nil, err
		}
	}
	return []string{
		"--name=" + etcdMember,
		"--data-dir=" + l.EtcdData(),
		"--listen-client-urls=unix://" + l.EtcdSocket(),
		"--advertise-client-urls=unix://" + l.EtcdSocket(),
		"--listen-peer-urls=unix://" + peer,
		"--initial-advertise-peer-urls=" + etcdPeer,
		"--initial-cluster=" + etcdMember + "=" + etcdPeer,
		// A laptop's cluster is made again in seconds; waiting for its disk at every write is not worth it.
		"--unsafe-no-fsync",
		"--heartbeat-interval=50", "--election-timeout=500", // milliseconds; there is nobody to agree with
		"--snapshot-count=5000",
		"--log-level=warn",
	}, nil
}

func (c *cluster) apiServerArgs() ([]string, error) {
	port, changed, err := c.s.port(portAPIServer)
	if err != nil {
		return nil, err
	}
	if changed {
		// Somebody took the port while the API server was away.
		if err := c.keys.writeKubeconfigs(c.s.spec.Name, c.s.address(portAPIServer)); err != nil {
			return nil, err
		}
		for _, client := range c.clients {
			client.kill()
		}
	}
	l := c.s.layout
	return []string{
		"--etcd-servers=unix://" + l.EtcdSocket(),
		"--bind-address=" + state.Loopback,
		"--secure-port=" + strconv.Itoa(port),
		// Nothing reaches the API server through the cluster's network, which isn't there.
		"--advertise-address=" + state.Loopback,
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + serviceRange,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--anonymous-auth=false",
		"--client-ca-file=" + c.keys.cluster.CertFile(),
		"--tls-cert-file=" + c.keys.serverCert,
		"--tls-private-key-file=" + c.keys.serverKey,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + c.keys.tokenPrivate,
		"--service-account-key-file=" + c.keys.tokenPublic,
		"--requestheader-client-ca-file=" + c.keys.frontProxy.CertFile(),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.keys.proxyCert,
		"--proxy-client-key-file=" + c.keys.proxyKey,
		"--audit-policy-file=" + l.Path("config", "audit-policy.yaml"),
		"--audit-log-path=" + l.Log("audit"),
		"--audit-log-maxsize=32", "--audit-log-maxbackup=2", // MB, files
		// A lost node's pods move after half a minute instead of five.
		"--default-not-ready-toleration-seconds=30",
		"--default-unreachable-toleration-seconds=30",
		// Definitions are megabytes each and change often while the platform comes up; the cache would keep all versions.
		"--watch-cache-sizes=customresourcedefinitions.apiextensions.k8s.io#0",
		// Few clients, all of them ours: fairness among them would only cost memory and writes at the start.
		"--enable-priority-and-fairness=false",
		"--egress-selector-config-file=" + l.Path("config", "egress.yaml"),
	}, nil
}

func (c *cluster) controllerManagerArgs() ([]string, error) {
	return []string{
		"--kubeconfig=" + c.keys.kubeconfigFile(controllerManager),
		"--leader-elect=false",
		"--secure-port=0",
		// 1.37 needs the gate InOrderInformers for this one, and stops without it.
		"--controllers=*,-storage-version-migrator-controller",
		"--root-ca-file=" + c.keys.cluster.CertFile(),
		"--service-account-private-key-file=" + c.keys.tokenPrivate,
		"--cluster-signing-cert-file=" + c.keys.cluster.CertFile(),
		"--cluster-signing-key-file=" + c.keys.cluster.KeyFile(),
		"--service-cluster-ip-range=" + serviceRange,
		// A node is lost after two and a half renewals of its lease.
		"--node-monitor-period=2s",
		"--node-monitor-grace-period=25s",
		"--flex-volume-plugin-dir=" + c.s.layout.Path("tmp", "flexvolume"),
		"--kube-api-content-type=application/vnd.kubernetes.protobuf",
		"--kube-api-qps=500", "--kube-api-burst=1000",
		"--profiling=false",
	}, nil
}

func (c *cluster) schedulerArgs() ([]string, error) {
	return []string{
		"--config=" + c.s.layout.Path("config", "scheduler.yaml"),
		"--secure-port=0",
	}, nil
}

// env is the environment of a child: nothing of the user's but the way to programs, to certificates and to proxies.
// gogc, for the time after the start, trades processor time for memory; limit is in MiB.
func (c *cluster) env(gogc, limit int, more ...string) func() []string {
	return func() []string {
		l := c.s.layout
		env := []string{
			"HOME=" + l.Path("home"),
			"TMPDIR=" + l.Path("tmp"),
		}
		env = append(env, memory.Environment(gogc, limit)...)
		for _, name := range []string{"PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "GOCOVERDIR"} {
			if value, ok := os.LookupEnv(name); ok {
				env = append(env, name+"="+value)
			}
		}
		return append(env, more...)
	}
}

// writeConfig fills in a configuration file and puts it into the cluster's folder.
func (c *cluster) writeConfig(file string) error {
	text, err := configFiles.ReadFile("config/" + file)
	if err != nil {
		return err
	}
	t, err := template.New(file).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]string{
		"EgressSocket": c.s.layout.EgressSocket(),
		"Kubeconfig":   c.keys.kubeconfigFile(scheduler),
	})
	if err != nil {
		return err
	}
	return state.WriteFile(filepath.Join(c.s.layout.Path("config"), file), out.Bytes())
}
