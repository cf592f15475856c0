package pipelines

import (
	"context"
	"fmt"
	"time"

	"github.com/idp-blueprint/idp/internal/dagger"
	"github.com/idp-blueprint/idp/pipelines/graph"
	"github.com/idp-blueprint/idp/pipelines/k3s"
)

const gitPort = 8080

// repository is the URL of the graph's own Git service.
func (s *Site) repository() string {
	return fmt.Sprintf("http://%s-git:%d/platform.git", s.Name, gitPort)
}

// git serves what the plan staged to Argo CD: the source, uncommitted edits included, with its charts.
func (s *Site) git() *dagger.Service {
	return s.base().
		WithMountedDirectory("/staged", s.plan(s.repository()).Directory("staged")).
		WithExposedPort(gitPort).
		AsService(dagger.ContainerAsServiceOpts{Args: []string{"idp", "serve", "git", "/staged", "--listen", fmt.Sprintf(":%d", gitPort)}}).
		WithHostname(s.Name + "-git")
}

// HandOver brings all layers up, the last of them with the repository that Argo CD follows, and waits until it holds everything.
func (c *Cluster) HandOver(ctx context.Context, gitURL string) (string, error) {
	if gitURL == "" {
		gitURL = c.site.repository()
		if _, err := c.site.git().Start(ctx); err != nil {
			return "", explain("starting the Git service", err)
		}
	}
	done, err := c.Layers(ctx, gitURL, func(p graph.Plan) ([]graph.Layer, error) {
		last, err := p.HandOver()
		if err != nil {
			return nil, err
		}
		return append(p.Before(), last), nil
	})
	if err != nil {
		return "", err
	}
	output, err := c.Bound(c.site.base()).
		WithMountedDirectory(planDir, c.site.plan(gitURL)).
		WithEnvVariable("IDP_CALL", time.Now().UTC().Format(time.RFC3339Nano)).
		WithExec(append([]string{"idp", "layers", "finish", planDir}, c.attach()...)).
		Stdout(ctx)
	if err != nil {
		return "", explain("waiting for Argo CD", err, c.Diagnose(ctx))
	}
	return graph.Table(done) + output, nil
}

// Entrance is a running service that holds the cluster and the Git service, and passes the gateway's ports and the API's on. It is
// started here: the hosts' names are known within the module alone, so nobody outside could start what it is bound to.
func (c *Cluster) Entrance(ctx context.Context) (*dagger.Service, error) {
	ports := []int{k3s.Port}
	if c.provider == graph.K3s {
		ports = append(ports, k3s.HTTP, k3s.HTTPS)
	}
	args := []string{"idp", "serve", "forward"}
	// Ports below 1024 need no privilege in a container of its own; user stays.
	ctr := c.Bound(c.site.base()).WithServiceBinding("git", c.site.git())
	for _, port := range ports {
		args = append(args, fmt.Sprintf(":%d=%s:%d", port, c.site.host(), port))
		ctr = ctr.WithExposedPort(port)
	}
	running, err := ctr.AsService(dagger.ContainerAsServiceOpts{Args: args}).Start(ctx)
	if err != nil {
		return nil, explain("starting the way in", err)
	}
	return running, nil
}
