package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/idp-blueprint/idp/internal/bootstrap"
	"github.com/idp-blueprint/idp/internal/cluster"
	"github.com/idp-blueprint/idp/internal/gitops"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/dynamic"
)

func newStatus(s streams, o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the nodes, the layers and what Argo CD says of every Application",
		Long:  "status reads and changes nothing. It exits with 1 where the platform is not ready.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), min(o.timeout, time.Minute))
			defer cancel()
			r, err := status(ctx, s, o)
			if err != nil {
				return err
			}
			if err := r.print(s.out, o); err != nil {
				return err
			}
			if !r.Ready {
				return errors.New("the platform is not ready")
			}
			return nil
		},
	}
}

func status(ctx context.Context, s streams, o *options) (*report, error) {
	p, err := load(o)
	if err != nil {
		return nil, err
	}
	provider, err := newProvider(o, s, p, nil)
	if err != nil {
		return nil, err
	}
	access, err := provider.Access(ctx)
	if err != nil {
		return nil, err
	}
	outcomes, err := recorded(ctx, access, p)
	if err != nil {
		return nil, err
	}
	prep := &prepared{platform: p}
	if server, ok := provider.(repository); ok {
		// Before the first publication there is nothing to read; the report then leaves the charts' origin empty.
		prep.sources, _ = gitops.Sources(ctx, server.GitDir())
	}
	apps, err := applicationsOf(ctx, access, prep)
	if err != nil {
		return nil, err
	}
	return newReport(ctx, access, provider, prep, outcomes, apps, 0)
}

// recorded are the layers as the cluster's own records have them; a layer without a record is pending.
func recorded(ctx context.Context, access *cluster.Access, p *platform.Platform) ([]bootstrap.Outcome, error) {
	records, err := bootstrap.NewRecords(access.Config)
	if err != nil {
		return nil, err
	}
	known, err := bootstrap.Recorded(ctx, records, p.Layers)
	if err != nil {
		return nil, fmt.Errorf("reading the layers' records: %w", err)
	}
	return known, nil
}

// applicationsOf reads the Applications; a cluster where Argo CD isn't installed yet has none.
func applicationsOf(ctx context.Context, access *cluster.Access, prep *prepared) ([]gitops.Application, error) {
	handOver, ok := prep.handOver()
	if !ok {
		return nil, nil
	}
	client, err := dynamic.NewForConfig(access.Config)
	if err != nil {
		return nil, err
	}
	apps, err := gitops.NewArgoCD(client, handOver.Namespace).Applications(ctx)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	return apps, err
}
