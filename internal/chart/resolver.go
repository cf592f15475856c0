package chart

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/idp-blueprint/idp/internal/platform"
)

// Source says where a component's charts came from.
type Source string

// The sources, best known first. A component with several charts is of its least real one.
const (
	FromNone      Source = "none"      // it depends on no chart
	FromCache     Source = "cache"     // the local cache had the archive
	FromUpstream  Source = "upstream"  // downloaded just now
	FromInventory Source = "inventory" // simulated: a stand-in made from inventory.yaml
)

// Options of a Resolver.
type Options struct {
	CacheDir string // archives, as <name>/<version>/<sha256>.tgz
	Offline  bool   // never touch the network
	Strict   bool   // fail where a stand-in would be made
	StandIns bool   // make stand-ins; for clusters whose pods are simulated only

	Client   *http.Client // nil: one with bounded timeouts
	Registry RegistryOptions
}

// RegistryOptions are for OCI repositories.
type RegistryOptions struct {
	PlainHTTP bool
}

// Resolver finds charts. It is safe for concurrent use.
type Resolver struct {
	options  Options
	cache    cache
	upstream *upstream
	modules  modules
}

// NewResolver makes a Resolver. It touches neither disk nor network yet.
func NewResolver(o Options) *Resolver {
	return &Resolver{
		options:  o,
		cache:    cache{dir: o.CacheDir},
		upstream: newUpstream(o),
		modules:  modules{offline: o.Offline},
	}
}

// Vendor writes the archive of every chart that component c depends on to dest/charts/<name>-<version>.tgz and says where
// they came from. The same archive gives the same bytes, so that a commit of dest is reproducible.
func (r *Resolver) Vendor(ctx context.Context, root string, c platform.Component, dest string) (Source, error) {
	if err := vendorLibraries(root, c, dest); err != nil {
		return "", err
	}
	if len(c.Chart.Dependencies) == 0 {
		return FromNone, nil
	}
	inventory, err := ReadInventory(root, c.Path)
	if err != nil {
		return "", err
	}
	charts := filepath.Join(dest, "charts")
	if err := os.MkdirAll(charts, 0o755); err != nil {
		return "", err
	}
	from, written := FromCache, map[string]bool{}
	for _, dep := range c.Chart.Dependencies {
		archive, err := r.resolve(ctx, c, dep, inventory)
		if err != nil {
			return "", err
		}
		from = lessReal(from, archive.source)
		file := dep.Name + "-" + dep.Version + ".tgz"
		if written[file] {
			continue // one archive under two aliases
		}
		written[file] = true
		if err := os.WriteFile(filepath.Join(charts, file), archive.data, 0o644); err != nil {
			return "", err
		}
	}
	return from, nil
}

// vendorLibraries copies the checkout's own library charts to dest/charts/<name>, as helm dependency build would.
func vendorLibraries(root string, c platform.Component, dest string) error {
	for _, library := range c.Chart.Libraries {
		to := filepath.Join(dest, "charts", library.Name)
		if err := os.RemoveAll(to); err != nil {
			return err
		}
		if err := os.CopyFS(to, os.DirFS(filepath.Join(root, filepath.FromSlash(library.Path)))); err != nil {
			return fmt.Errorf("vendoring %s: %w", library.Path, err)
		}
	}
	return nil
}

func lessReal(a, b Source) Source {
	rank := map[Source]int{FromCache: 0, FromUpstream: 1, FromInventory: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}

// resolved is an archive and where it came from.
type resolved struct {
	data   []byte
	source Source
}

func (r *Resolver) resolve(ctx context.Context, c platform.Component, dep platform.Dependency, inventory Inventory) (resolved, error) {
	facts := inventory.chart(dep)
	cached, refused, err := r.cache.find(dep, facts)
	if err != nil {
		return resolved{}, err
	}
	if cached != nil {
		return resolved{cached.data, FromCache}, nil
	}
	archive, err := r.download(ctx, dep, facts)
	if err == nil {
		if err := r.cache.put(archive); err != nil {
			return resolved{}, err
		}
		return resolved{archive.data, FromUpstream}, nil
	}
	if ctx.Err() != nil {
		return resolved{}, ctx.Err()
	}
	if refused != nil {
		return resolved{}, refused
	}
	if !r.mayStandIn(err, facts) {
		return resolved{}, r.explain(c, dep, inventory, err)
	}
	data, err := r.standIn(ctx, *facts)
	if err != nil {
		return resolved{}, err
	}
	return resolved{data, FromInventory}, nil
}

// mayStandIn is false, beyond what the options say, for a chart that was reached but isn't the one that the inventory describes.
func (r *Resolver) mayStandIn(reason error, facts *Chart) bool {
	return r.options.StandIns && !r.options.Strict && facts != nil && unreachable(reason)
}

func (r *Resolver) download(ctx context.Context, dep platform.Dependency, facts *Chart) (*archive, error) {
	if r.options.Offline {
		return nil, errOffline
	}
	return r.upstream.get(ctx, dep, facts)
}

// Pull downloads every chart that the components depend on into the cache; those that are there already are left alone.
func (r *Resolver) Pull(ctx context.Context, root string, components ...platform.Component) ([]Entry, error) {
	var pulled []Entry
	for _, c := range components {
		inventory, err := ReadInventory(root, c.Path)
		if err != nil {
			return pulled, err
		}
		for _, dep := range c.Chart.Dependencies {
			found, err := r.real(ctx, c, dep, inventory)
			if err != nil {
				return pulled, err
			}
			pulled = append(pulled, r.cache.entry(found))
		}
	}
	return pulled, nil
}

// real is the chart itself, never a stand-in.
func (r *Resolver) real(ctx context.Context, c platform.Component, dep platform.Dependency, inventory Inventory) (*archive, error) {
	facts := inventory.chart(dep)
	cached, refused, err := r.cache.find(dep, facts)
	if err != nil || cached != nil {
		return cached, err
	}
	archive, err := r.download(ctx, dep, facts)
	if err != nil && refused != nil && ctx.Err() == nil {
		return nil, refused
	}
	if err != nil {
		return nil, r.explain(c, dep, inventory, err)
	}
	return archive, r.cache.put(archive)
}
