package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/idp-blueprint/idp/internal/cluster"
)

func (p *Provider) snapshots() store {
	return store{dir: filepath.Join(p.spec.CacheDir, "snapshots"), now: time.Now}
}

// Save keeps the cluster's state as it is now, for later clusters with the same layers. keys are the layers that are done, by
// name, and their keys. It returns when the state is taken; compressing and describing it goes on in the supervisor.
func (p *Provider) Save(ctx context.Context, keys map[string]string) error {
	if p.program.key == "" {
		return errors.New("snapshot: the cluster was not brought up by this process")
	}
	nodes, err := p.spec.nodesDigest()
	if err != nil {
		return err
	}
	s := p.snapshots()
	if err := os.MkdirAll(s.dir, 0o700); err != nil { // it holds the cluster's Secrets
		return explain(err)
	}
	id := snapshotID(p.program.key, nodes, keys)
	if _, err := os.Stat(s.path(id, metaSuffix)); err == nil {
		now := time.Now()
		return os.Chtimes(s.path(id, metaSuffix), now, now)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.prune(); err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	return p.control().call(ctx, http.MethodPost, "/snapshot", map[string]any{
		"data": s.path(id, dataSuffix),
		"meta": s.path(id, metaSuffix),
		"description": meta{
			Schema: schema, Program: p.program.key, Nodes: nodes, Kubernetes: p.program.kubernetes,
			Keys: keys, Created: time.Now().UTC(),
		},
	}, nil)
}

// chooseSnapshot returns what a cluster without data starts from, nil for nothing.
func (p *Provider) chooseSnapshot(emit func(cluster.Progress)) (*snapshot, error) {
	if _, err := os.Stat(p.spec.file("etcd")); !errors.Is(err, fs.ErrNotExist) {
		return nil, err // the cluster has data of its own
	}
	nodes, err := p.spec.nodesDigest()
	if err != nil {
		return nil, err
	}
	chosen, err := p.snapshots().choose(p.program.key, nodes, p.spec.Wanted, func(message string) { emit(cluster.Progress{Message: message}) })
	if err != nil || chosen == nil {
		return nil, err
	}
	emit(cluster.Progress{Message: fmt.Sprintf("starting from the snapshot of %d layers taken %s", len(chosen.meta.Keys), chosen.meta.Created.Local().Format(time.DateTime))})
	return chosen, nil
}

// nodesDigest stands for the nodes: a snapshot has their objects in it.
func (s Spec) nodesDigest() (string, error) {
	data, err := json.Marshal(s.Nodes)
	if err != nil {
		return "", fmt.Errorf("encoding the nodes: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16]), nil
}
