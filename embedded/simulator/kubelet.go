package simulator

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/kwok/pkg/apis/internalversion"
	"sigs.k8s.io/kwok/pkg/config"
	"sigs.k8s.io/kwok/pkg/kwok/controllers"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/gotpl"
)

//go:embed stages.yaml
var stagesYAML string

// loadStages parses the KWOK stages of a YAML stream, grouped by the kind they act on.
func loadStages(text string) (map[internalversion.StageResourceRef][]*internalversion.Stage, error) {
	out := map[internalversion.StageResourceRef][]*internalversion.Stage{}
	for i, doc := range strings.Split(text, "\n---\n") {
		stage, err := config.UnmarshalWithType[*internalversion.Stage](doc)
		if err != nil {
			return nil, fmt.Errorf("stage %d: %w", i, err)
		}
		out[stage.Spec.ResourceRef] = append(out[stage.Spec.ResourceRef], stage)
	}
	return out, nil
}

// kubelets plays the kubelet of every node that carries NodeLabel.
type kubelets struct {
	client    kubernetes.Interface // for what isn't KWOK's
	addresses *addresses
	log       *slog.Logger
}

// Start begins to play; it returns once KWOK's watches are set up, and everything ends with ctx.
func (k *kubelets) Start(ctx context.Context, cfg *rest.Config) error {
	stages, err := loadStages(stagesYAML)
	if err != nil {
		return fmt.Errorf("read the kubelets' stages: %w", err)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return retryable{next} })
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("connect the kubelets: %w", err)
	}
	var nodes func(name string) (*corev1.Node, bool)
	controller, err := controllers.NewController(controllers.Config{
		Clock:                        clock.RealClock{},
		RESTClient:                   client.RESTClient(),
		TypedClient:                  client,
		ManageNodesWithLabelSelector: NodeLabel + "=" + nodeLabelValue,
		LocalStages:                  stages,
		CIDR:                         "10.244.255.0/24",
		NodeIP:                       "10.243.0.254",
		PodPlayStageParallelism:      8,
		NodePlayStageParallelism:     2,
		PodsOnNodeSyncParallelism:    2,
		// KWOK's lease handling would keep it from acting on pods that it lists before its own lease reaches its cache; with 0 it
		// acts at once, and lease.go renews the leases.
		NodeLeaseDurationSeconds: 0,
		ID:                       fieldManager,
		FuncMap: gotpl.FuncMap{
			"PodIPsWith": func(nodeName string, hostNetwork bool, uid, _, _ string) ([]string, error) {
				node, ok := nodes(nodeName)
				if !ok {
					return nil, fmt.Errorf("node %s is gone", nodeName)
				}
				if hostNetwork {
					return internalIPs(node), nil
				}
				ip, err := k.addresses.Next(ctx, nodeName, node.Spec.PodCIDR, uid)
				return []string{ip}, err
			},
		},
	})
	if err != nil {
		return fmt.Errorf("set up KWOK: %w", err)
	}
	nodes = func(name string) (*corev1.Node, bool) { return controller.GetNodeCache().Get(name) }
	ctx = kwoklog.NewContext(ctx, kwoklog.NewLogger(kwokWriter{k.log}, kwoklog.LevelWarn))
	if err := controller.Start(ctx); err != nil {
		return fmt.Errorf("start KWOK: %w", err)
	}
	go k.renew(ctx, func() []*corev1.Node { return controller.GetNodeCache().List() })
	return nil
}

func internalIPs(node *corev1.Node) []string {
	var out []string
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out = append(out, a.Address)
		}
	}
	return out
}

// retryable makes a broken connection look like a refused one. KWOK plays a stage again only after a refused connection, and an
// API server that is killed in the middle of a request would otherwise leave that pod as it is for good.
type retryable struct{ next http.RoundTripper }

func (t retryable) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.next.RoundTrip(r)
	if err != nil && r.Context().Err() == nil {
		return nil, fmt.Errorf("%w (%w)", err, syscall.ECONNREFUSED)
	}
	return res, err
}

// kwokWriter passes KWOK's warnings on to our log.
type kwokWriter struct{ log *slog.Logger }

func (w kwokWriter) Write(p []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(p, &line); err != nil {
		w.log.Warn("kwok: " + strings.TrimSpace(string(p)))
		return len(p), nil
	}
	if text, _ := line["err"].(string); strings.HasSuffix(text, "not found") {
		return len(p), nil // a pod that was deleted twice: every graceful deletion shows as two events
	}
	var attrs []any
	for _, k := range []string{"node", "pod", "stage", "err"} {
		if line[k] != nil {
			attrs = append(attrs, k, line[k])
		}
	}
	w.log.Warn(fmt.Sprintf("kwok: %v", line["msg"]), attrs...)
	return len(p), nil
}

// serverVersion waits for nothing: it is asked once the API server is ready.
func serverVersion(client kubernetes.Interface) (string, error) {
	v, err := client.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("ask for the API server's version: %w", err)
	}
	return v.GitVersion, nil
}
