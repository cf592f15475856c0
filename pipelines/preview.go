package pipelines

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/idp-blueprint/idp/internal/dagger"
)

// Preview compares another state of the platform with this one, brings it up on a cluster that nothing else uses, and says both.
func (s *Site) Preview(ctx context.Context, source *dagger.Directory, name, provider string, renderOnly bool) (string, error) {
	other := *s
	other.Source = source
	// A name that was never used: the preview starts from nothing, and what it leaves in volumes the engine collects.
	other.Name = fmt.Sprintf("%s-%s", name, strconv.FormatInt(time.Now().Unix(), 36))
	changes, err := s.compare(ctx, &other)
	if err != nil || renderOnly {
		return changes, err
	}
	c, err := other.Cluster(ctx, provider, 0)
	if err != nil {
		return "", err
	}
	outcome, err := c.HandOver(ctx, "")
	if err != nil {
		return "", err
	}
	return changes + "\n" + outcome, nil
}

// compare is the rendered difference, component by component, and that of the images.
func (s *Site) compare(ctx context.Context, other *Site) (string, error) {
	const script = `set -u
echo "## Rendered"
diff -rq /before /after | sed 's#/before/##g; s#/after/##g' || true
echo; echo "## Images"
diff -u /before/images.txt /after/images.txt | grep -E '^[-+][^-+]' || echo none
echo; echo "## Objects"
diff -ruN --exclude=images.txt /before /after | head -c 40000 || true
`
	output, err := s.base().
		WithMountedDirectory("/before", s.Render().WithoutDirectory("staged")).
		WithMountedDirectory("/after", other.Render().WithoutDirectory("staged")).
		WithExec([]string{"bash", "-c", script}).
		Stdout(ctx)
	if err != nil {
		return "", explain("comparing the two states", err)
	}
	return output, nil
}
