package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/cluster/embedded"
	"github.com/idp-blueprint/idp/internal/cluster/existing"
	"github.com/idp-blueprint/idp/internal/plan"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

func newServeCluster(s streams, o *options) *cobra.Command {
	var listen, server, kubeconfig, module string
	cmd := &cobra.Command{
		Use:   "cluster FILE",
		Short: "Start an embedded cluster without any layer, and let others reach its API server",
		Long:  "cluster starts the cluster that a plan's cluster.json describes. The file alone decides, so that the cluster goes on while the platform on it changes.",
		Args:  oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if o.cluster != "embedded" {
				return usagef("serve cluster starts an embedded cluster; --cluster %s runs already", o.cluster)
			}
			return serveCluster(cmd.Context(), s, o, servedCluster{file: args[0], module: module, listen: listen, server: server, kubeconfig: kubeconfig})
		},
	}
	cmd.Flags().StringVar(&module, "module", "", "the folder embedded/ that the control plane was built from (default: the checkout's)")
	cmd.Flags().StringVar(&listen, "listen", ":6443", "address to listen on")
	cmd.Flags().StringVar(&server, "server", "https://localhost:6443", "the API server's URL for those who get --kubeconfig")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "file that gets a kubeconfig for --server; it holds a private key")
	return cmd
}

// servedCluster is what serve cluster is told.
type servedCluster struct{ file, module, listen, server, kubeconfig string }

func serveCluster(ctx context.Context, s streams, o *options, c servedCluster) error {
	wanted, err := plan.ReadCluster(c.file)
	if err != nil {
		return asUsage(err)
	}
	if c.module == "" {
		root, err := o.root()
		if err != nil {
			return err
		}
		c.module = filepath.Join(root, "embedded")
	}
	provider, err := newEmbedded(o, wanted, c.module)
	if err != nil {
		return err
	}
	view := newView(s, o)
	access, err := startCluster(ctx, provider, view.Show)
	view.Close()
	if err != nil {
		return err
	}
	// Whoever attaches from elsewhere must learn what is simulated here.
	if err := existing.Mark(ctx, access.Config, access.Info); err != nil {
		return err
	}
	if c.kubeconfig != "" {
		if err := writeKubeconfig(access, c.server, c.kubeconfig); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.err, "✓ API server at %s\n", c.listen)
	return forwardFrom(ctx, c.listen, func() string { return apiServerOf(ctx, provider, access) })
}

func newEmbedded(o *options, c plan.Cluster, module string) (*embedded.Provider, error) {
	state, err := stateDir(o.name)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	spec := embedded.Spec{Name: o.name, StateDir: state, CacheDir: cache, ModuleDir: module, KubernetesVersion: c.Kubernetes}
	for _, n := range c.Nodes {
		node := embedded.Node{Name: n.Name, Pool: n.Pool, CPU: n.CPU, Memory: n.Memory, Labels: n.Labels}
		for _, t := range n.Taints {
			node.Taints = append(node.Taints, embedded.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
		}
		spec.Nodes = append(spec.Nodes, node)
	}
	return embedded.New(spec), nil
}

// apiServerOf is where the API server listens now: it may come back at another port.
func apiServerOf(ctx context.Context, provider cluster.Provider, before *cluster.Access) string {
	host := before.Config.Host
	if now, err := provider.Access(ctx); err == nil {
		host = now.Config.Host
	}
	u, err := url.Parse(host)
	if err != nil {
		return host
	}
	return u.Host
}

// writeKubeconfig writes the cluster's kubeconfig with another way to it. The certificate is checked for a name that every API
// server has.
func writeKubeconfig(access *cluster.Access, server, file string) error {
	config, err := clientcmd.LoadFromFile(access.Kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig of the cluster: %w", err)
	}
	for _, c := range config.Clusters {
		c.Server, c.TLSServerName = server, "kubernetes"
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return clientcmd.WriteToFile(*config, file)
}
