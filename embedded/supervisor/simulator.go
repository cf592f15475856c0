package supervisor

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/idp-blueprint/idp/embedded/state"
)

// newSimulator is the process that plays what can't run here.
func (c *cluster) newSimulator() *child {
	l := c.s.layout
	return &child{
		name: simulator,
		args: func() ([]string, error) {
			return []string{
				"--kubeconfig=" + c.keys.kubeconfigFile(simulator),
				"--nodes=" + l.Nodes(),
				"--egress-socket=" + l.EgressSocket(),
				"--ca-dir=" + l.PKI("simulator"),
				"--status-socket=" + simulatorSocket(l),
			}, nil
		},
		env: c.env(50, 800),
		after: func(ctx context.Context) error {
			return until(ctx, func(ctx context.Context) error {
				// Its webhooks answer from here on. That its nodes live is what the platform's gates wait for, side by side with
				// everything else.
				_, err := simulatorStatus(ctx, l)
				return err
			})
		},
	}
}

func simulatorSocket(l state.Layout) string { return l.Path("run", "simulator.sock") }

type simulation struct {
	Ready     bool
	Simulated []string // what has been played so far
}

func simulatorStatus(ctx context.Context, l state.Layout) (simulation, error) {
	client := http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", simulatorSocket(l))
			},
		},
	}
	var s simulation
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://simulator/status", nil)
	if err != nil {
		return s, err
	}
	response, err := client.Do(request)
	if err != nil {
		return s, err
	}
	defer func() { _ = response.Body.Close() }()
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// simulated is what is played in this cluster: always its nodes, and what the simulator says while it answers.
func (s *supervisor) simulated() []string {
	const nodes = "kubelet"
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	status, err := simulatorStatus(ctx, s.layout)
	if err != nil || !slices.Contains(status.Simulated, nodes) {
		return append([]string{nodes}, status.Simulated...)
	}
	return status.Simulated
}
