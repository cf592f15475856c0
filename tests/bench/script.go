package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/idp-blueprint/idp/internal/platform"
	"sigs.k8s.io/yaml"
)

// script brings the layers up as most platforms' bootstrap scripts do: for each layer in turn, helm upgrade --install --wait,
// then kubectl wait for whatever the next one relies on.
func (b *bencher) script(ctx context.Context) (measurement, error) {
	charts, err := b.charts(ctx)
	if err != nil {
		return measurement{}, err
	}
	defer os.RemoveAll(charts)
	const name = "script"
	if _, err := output(ctx, b.root, b.env, b.idp, "up", "--source", b.blank, "--name", name); err != nil {
		return measurement{}, err
	}
	defer func() { _ = b.down(context.WithoutCancel(ctx), name) }()
	path, err := output(ctx, b.root, b.env, b.idp, "kubeconfig", "--name", name)
	if err != nil {
		return measurement{}, err
	}
	env := []string{"KUBECONFIG=" + strings.TrimSpace(path)}

	m := measurement{layers: map[string]time.Duration{}}
	for _, layer := range b.platform.Layers {
		if layer.HandOver {
			continue
		}
		started := time.Now()
		if err := b.install(ctx, env, charts, layer); err != nil {
			return m, err
		}
		m.layers[layer.Name] = time.Since(started)
		m.total += m.layers[layer.Name]
	}
	return m, nil
}

// charts is a folder with the platform and its charts, as idp publishes them.
func (b *bencher) charts(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "idp-bench-charts-")
	if err != nil {
		return "", err
	}
	_, err = output(ctx, b.root, b.env, b.idp, "render", "--offline", "--staged", dir)
	return dir, err
}

func (b *bencher) install(ctx context.Context, env []string, charts string, layer platform.Layer) error {
	args := []string{"upgrade", "--install", layer.Name, filepath.Join(charts, filepath.FromSlash(layer.Path)),
		"--namespace", layer.Namespace, "--create-namespace", "--wait", "--timeout", "5m", "--values", filepath.Join(charts, "platform.yaml")}
	if layer.Name == b.layers[0] {
		// The first layer makes the namespaces; with --create-namespace helm would stumble over its own.
		args = append(args, "--take-ownership")
	}
	if _, err := output(ctx, charts, env, b.helm, args...); err != nil {
		return err
	}
	for _, gate := range layer.Gates {
		if err := b.wait(ctx, env, gate); err != nil {
			return err
		}
	}
	return nil
}

// wait is a gate in kubectl's words.
func (b *bencher) wait(ctx context.Context, env []string, gate platform.Gate) error {
	switch {
	case gate.Condition != nil:
		c := gate.Condition
		group, _, _ := strings.Cut(c.APIVersion, "/")
		kind := strings.ToLower(c.Kind)
		if strings.Contains(c.APIVersion, "/") {
			kind += "." + group
		}
		args := []string{"wait", "--for=condition=" + c.Type, kind + "/" + c.Name, "--timeout=5m"}
		if c.Namespace != "" {
			args = append(args, "--namespace", c.Namespace)
		}
		_, err := output(ctx, "", env, b.kubectl, args...)
		return err
	case len(gate.Established) > 0:
		args := []string{"wait", "--for=condition=Established", "--timeout=5m"}
		for _, name := range gate.Established {
			args = append(args, "customresourcedefinition/"+name)
		}
		_, err := output(ctx, "", env, b.kubectl, args...)
		return err
	}
	return b.dryRun(ctx, env, gate.DryRun)
}

// dryRun tries until the API server accepts, as scripts do.
func (b *bencher) dryRun(ctx context.Context, env []string, object map[string]any) error {
	content, err := yaml.Marshal(object)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "idp-bench-*.yaml")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := os.WriteFile(file.Name(), content, 0o600); err != nil {
		return err
	}
	bound := time.Now().Add(5 * time.Minute)
	for {
		_, err := output(ctx, "", env, b.kubectl, "create", "--dry-run=server", "-f", file.Name())
		if err == nil || ctx.Err() != nil {
			return err
		}
		if time.Now().After(bound) {
			text, _ := json.Marshal(object)
			return fmt.Errorf("the API server did not accept %s: %w", text, err)
		}
		time.Sleep(time.Second) // the usual script's own pace
	}
}
