package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// apiTimeout bounds the wait for the API server at start.
const apiTimeout = 2 * time.Minute

type options struct {
	kubeconfig, nodes, egress, caDir, status string
	routes                                   string
	except                                   []string
	verbose                                  bool
}

// Main runs the simulator until ctx ends. It prints the line "ready" on standard output once nodes are registered and every
// part plays; problems go to standard error. The error names what could not be started.
func Main(ctx context.Context, args []string) error {
	o, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	return run(ctx, o, os.Stdout, log)
}

func parse(args []string, usage io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("simulator", flag.ContinueOnError)
	set.SetOutput(usage)
	set.StringVar(&o.kubeconfig, "kubeconfig", "", "`file` with the credentials of a cluster administrator")
	set.StringVar(&o.nodes, "nodes", "", "JSON `file`: list of {name, pool, cpu, memory, labels, taints}")
	set.StringVar(&o.egress, "egress-socket", "", "Unix `socket` that the API server's egress selector connects to")
	set.StringVar(&o.caDir, "ca-dir", "", "`folder` of the simulation's CA, made when missing")
	set.StringVar(&o.status, "status-socket", "", "Unix `socket` that answers GET /status")
	set.StringVar(&o.routes, "routes", "", "JSON `file`: Service host (svc.namespace.svc) to the Unix socket or host:port of the real process behind it")
	set.Func("except", "API `group` whose custom resources have a real controller; may be given more than once", func(s string) error {
		o.except = append(o.except, s)
		return nil
	})
	set.BoolVar(&o.verbose, "verbose", false, "log more")
	if err := set.Parse(args); err != nil {
		return o, fmt.Errorf("simulator: %w", err)
	}
	for name, value := range map[string]string{"kubeconfig": o.kubeconfig, "nodes": o.nodes, "egress-socket": o.egress, "ca-dir": o.caDir, "status-socket": o.status} {
		if value == "" {
			return o, fmt.Errorf("simulator: --%s is needed", name)
		}
	}
	return o, nil
}

func run(ctx context.Context, o options, out io.Writer, log *slog.Logger) error {
	nodes, err := readNodes(o.nodes)
	if err != nil {
		return err
	}
	routes, err := readRoutes(o.routes)
	if err != nil {
		return err
	}
	ca, err := openAuthority(o.caDir)
	if err != nil {
		return err
	}
	cfg, err := clientConfig(o.kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	done := newLedger()
	tunnels := newEgress(ca, &responder{ledger: done, log: log}, log)
	for host, d := range routes {
		tunnels.Route(host, d)
	}
	egressListener, err := listenUnix(o.egress)
	if err != nil {
		return err
	}
	go func() {
		if err := tunnels.Serve(ctx, egressListener); err != nil {
			cancel(err)
		}
	}()
	statusListener, err := listenUnix(o.status)
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	go func() {
		if err := serveStatus(ctx, statusListener, done, ready); err != nil {
			cancel(err)
		}
	}()

	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	if err := waitForAPI(ctx, client); err != nil {
		return err
	}
	version, err := serverVersion(client)
	if err != nil {
		return err
	}
	if err := syncNodes(ctx, client, nodes, version); err != nil {
		return err
	}
	if err := (&kubelets{client: client, addresses: newAddresses(client), log: log}).Start(ctx, cfg); err != nil {
		return err
	}
	done.Add("kubelet")
	if err := startControllers(ctx, o, cfg, client, tunnels, done, log); err != nil {
		return err
	}
	close(ready)
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return fmt.Errorf("report readiness: %w", err)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// startControllers starts what watches the cluster beside the kubelets.
func startControllers(ctx context.Context, o options, cfg *rest.Config, client kubernetes.Interface, tunnels *egress, done *ledger, log *slog.Logger) error {
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	effects, err := loadEffects(effectsFS, "effects")
	if err != nil {
		return err
	}
	crds, err := watchCRDs(cfg)
	if err != nil {
		return err
	}
	if err := (&storage{client: client, ledger: done, log: log}).Start(ctx); err != nil {
		return err
	}
	if err := (&trust{ca: tunnels.ca, egress: tunnels, client: client, dyn: dyn, ledger: done, log: log}).Start(ctx, crds); err != nil {
		return err
	}
	if err := newPlayer(effects, o.except, client, dyn, tunnels.ca, done, log).Start(ctx, crds); err != nil {
		return err
	}
	return runInformer(ctx, crds, "CRDs")
}

// clientConfig is the one configuration that all parts share: no client-side limit, since all calls are to this machine.
func clientConfig(kubeconfig string) (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	cfg.QPS = -1
	cfg.UserAgent = fieldManager
	cfg.WarningHandler = rest.NoWarnings{} // they would be our own webhooks'
	return cfg, nil
}

func waitForAPI(ctx context.Context, client kubernetes.Interface) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server isn't ready after %s: %w", apiTimeout, err)
		case <-ticker.C:
		}
	}
}

// listenUnix listens on a socket that only this user may open, in place of one that a killed process left.
func listenUnix(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of socket %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect socket %s: %w", path, err), l.Close())
	}
	return l, nil
}

// readRoutes reads the --routes file; an empty path has no routes.
func readRoutes(path string) (map[string]dialer, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the routes: %w", err)
	}
	var hosts map[string]string
	if err := json.Unmarshal(data, &hosts); err != nil {
		return nil, fmt.Errorf("%s: parse the routes: %w", path, err)
	}
	out := map[string]dialer{}
	for host, address := range hosts {
		network := "tcp"
		if filepath.IsAbs(address) {
			network = "unix"
		}
		out[host] = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}
	}
	return out, nil
}

// report is the answer to GET /status.
type report struct {
	Ready     bool     `json:"ready"`
	Simulated []string `json:"simulated"`
}

func serveStatus(ctx context.Context, l net.Listener, done *ledger, ready <-chan struct{}) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		r := report{Simulated: done.List()}
		select {
		case <-ready:
			r.Ready = true
		default:
		}
		writeJSON(w, http.StatusOK, r)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the status socket: %w", err)
	}
	return nil
}
