package supervisor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
)

const (
	probeEvery   = 25 * time.Millisecond
	probeTimeout = 2 * time.Second
)

// until probes until it succeeds or ctx is done.
func until(ctx context.Context, probe func(ctx context.Context) error) error {
	for {
		one, cancel := context.WithTimeout(ctx, probeTimeout)
		err := probe(one)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(probeEvery):
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
	}
}

// etcdClient connects to the cluster's etcd.
func (c *cluster) etcdClient() (*clientv3.Client, error) {
	return newEtcdClient(c.s.layout.EtcdSocket())
}

func newEtcdClient(socket string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:   []string{"unix://" + socket},
		DialTimeout: probeTimeout,
		Logger:      zap.NewNop(),
	})
}

// etcdServes waits for etcd, and once for a restored cluster gives it an identity of its own.
func (c *cluster) etcdServes(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		// gRPC would wait a second before it tries a socket again that wasn't there yet.
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.s.layout.EtcdSocket())
		if err != nil {
			return err
		}
		_ = conn.Close()
		client, err := newEtcdClient(c.s.layout.EtcdSocket())
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		if _, err := client.Get(ctx, "health"); err != nil {
			return err
		}
		return c.s.renewIdentity(ctx, client)
	})
}

// apiServerServes waits until the API server says that it is ready.
func (c *cluster) apiServerServes(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		config, err := c.keys.restConfig()
		if err != nil {
			return err
		}
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz: %s", response.Status)
		}
		return nil
	})
}
