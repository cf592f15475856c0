package main

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/cluster/embedded"
	"github.com/idp-blueprint/idp/internal/cluster/existing"
	"github.com/idp-blueprint/idp/internal/platform"
)

// newProvider returns the cluster that the flags name. wanted are the keys that a new cluster may start from in a snapshot.
func newProvider(o *options, s streams, p *platform.Platform, wanted map[string]string) (cluster.Provider, error) {
	if o.cluster == "existing" {
		return existing.New(existing.Spec{Context: o.context, Confirm: func(info cluster.Info) error { return confirm(o, s, info) }}), nil
	}
	state, err := stateDir(o.name)
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	spec := embedded.Spec{Name: o.name, StateDir: state, CacheDir: cache, Wanted: wanted}
	if p != nil {
		spec.ModuleDir = filepath.Join(p.Root, "embedded")
		spec.KubernetesVersion = p.Config.Kubernetes.Version
		spec.Nodes = nodes(p.Config.Cluster.Pools)
	}
	return embedded.New(spec), nil
}

// nodes names the nodes of the pools: <pool>-<number>.
func nodes(pools []platform.Pool) []embedded.Node {
	var all []embedded.Node
	for _, pool := range pools {
		for i := range pool.Count {
			node := embedded.Node{
				Name: fmt.Sprintf("%s-%d", pool.Name, i), Pool: pool.Name,
				CPU: pool.CPU, Memory: pool.Memory, Labels: pool.Labels,
			}
			for _, t := range pool.Taints {
				node.Taints = append(node.Taints, embedded.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
			}
			all = append(all, node)
		}
	}
	return all
}

// confirm asks before the first write to a cluster that the platform did not make.
func confirm(o *options, s streams, info cluster.Info) error {
	if o.yes {
		return nil
	}
	fmt.Fprintf(s.err, "The cluster of context %q (Kubernetes %s) does not carry this platform yet.\n"+
		"idp would install it there: namespaces, CRDs, a CNI, webhooks. Go on? [y/N] ", info.Name, info.Kubernetes)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a == "y" || a == "yes" {
		return nil
	}
	return usagef("nothing was written to context %q; to install without being asked: --yes", info.Name)
}
