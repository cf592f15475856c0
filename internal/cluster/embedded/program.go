package embedded

import (
	"context"
	"errors"

	"github.com/idp-blueprint/idp/internal/cluster"
)

// ErrNotBuilt is what Program returns where the control plane hasn't been built from these sources yet.
var ErrNotBuilt = errors.New("the control plane is not built yet: idp build, or idp up, builds it")

// Build builds the control plane's program, if it isn't in the cache, and returns its path. Up does the same by itself.
func Build(ctx context.Context, s Spec, emit func(cluster.Progress)) (string, error) {
	p, err := newBuilder(s).ensure(ctx, emit)
	return p.path, err
}

// Program returns the path of the program that was built from these sources, or ErrNotBuilt.
func Program(s Spec) (string, error) {
	b := newBuilder(s)
	p, err := b.identify()
	if err != nil {
		return "", err
	}
	if !b.use(p) {
		return "", ErrNotBuilt
	}
	return p.path, nil
}
