// Package existing is the provider of clusters that somebody else made: it attaches to a context of a kubeconfig.
package existing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/idp-blueprint/idp/internal/cluster"
)

// Spec names the cluster.
type Spec struct {
	Kubeconfig string // file; empty: $KUBECONFIG, then ~/.kube/config
	Context    string // always named: the current context is too easily the wrong one
	// Confirm is asked before the first write to a cluster that carries no platform yet. Its error ends Up. Without it Up refuses
	// such a cluster.
	Confirm func(cluster.Info) error
}

// Provider attaches to a running cluster. It never makes or removes one.
type Provider struct{ spec Spec }

// New returns the provider.
func New(spec Spec) *Provider { return &Provider{spec: spec} }

// Up attaches to the cluster, and asks once before a cluster is used that doesn't carry the platform.
func (p *Provider) Up(ctx context.Context, emit func(cluster.Progress)) (*cluster.Access, error) {
	emit(cluster.Progress{Message: fmt.Sprintf("attaching to context %q", p.spec.Context)})
	access, err := p.Access(ctx)
	if err != nil || !access.Info.New {
		return access, err
	}
	if p.spec.Confirm == nil {
		return nil, fmt.Errorf("context %q: the cluster doesn't carry this platform yet, and nobody was asked whether it should", p.spec.Context)
	}
	if err := p.spec.Confirm(access.Info); err != nil {
		return nil, err
	}
	return access, nil
}

// Access attaches to the cluster.
func (p *Provider) Access(ctx context.Context) (*cluster.Access, error) {
	config, file, err := p.config()
	if err != nil {
		return nil, err
	}
	info, err := cluster.Inspect(ctx, config, cluster.Info{Name: p.spec.Context, Provider: "existing"})
	if err != nil {
		return nil, fmt.Errorf("context %q of %s: %w", p.spec.Context, file, err)
	}
	if info.Simulated, err = simulated(ctx, config); err != nil {
		return nil, fmt.Errorf("context %q of %s: %w", p.spec.Context, file, err)
	}
	return &cluster.Access{Info: info, Config: config, Kubeconfig: file, Context: p.spec.Context}, nil
}

// Down refuses: the cluster is not ours.
func (p *Provider) Down(context.Context, func(cluster.Progress)) error {
	return fmt.Errorf("context %q: the cluster was not made by idp, so idp does not remove it", p.spec.Context)
}

func (p *Provider) config() (config *rest.Config, file string, err error) {
	if p.spec.Context == "" {
		return nil, "", errors.New("name the context of the existing cluster: --context NAME (kubectl config get-contexts lists them)")
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = p.spec.Kubeconfig
	file = p.spec.Kubeconfig
	if file == "" {
		file = strings.Join(rules.Precedence, ", ")
	}
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: p.spec.Context})
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, "", fmt.Errorf("kubeconfig %s: %w", file, err)
	}
	context, ok := raw.Contexts[p.spec.Context]
	if !ok {
		names := slices.Sorted(maps.Keys(raw.Contexts))
		if len(names) == 0 {
			return nil, "", fmt.Errorf("kubeconfig %s: no contexts in it; choose another file with KUBECONFIG", file)
		}
		return nil, "", fmt.Errorf("kubeconfig %s: no context %q; there are %s", file, p.spec.Context, strings.Join(names, ", "))
	}
	if context.LocationOfOrigin != "" {
		file = context.LocationOfOrigin
	}
	config, err = loader.ClientConfig()
	if err != nil {
		return nil, "", fmt.Errorf("context %q of %s: %w", p.spec.Context, file, err)
	}
	config.QPS = -1 // the API server's own fairness decides
	return config, file, nil
}
