package supervisor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"github.com/idp-blueprint/idp/embedded/gitservice"
	"github.com/idp-blueprint/idp/embedded/rediscache"
	"github.com/idp-blueprint/idp/embedded/state"
)

const (
	argoNamespace  = "argocd"
	argoCheckEvery = 250 * time.Millisecond

	portRepoServer        = "repo-server"
	portRepoMetrics       = "repo-server-metrics"
	portControllerMetrics = "application-controller-metrics"
	portWebhook           = "applicationset-webhook"
	portProxy             = "git-proxy"
)

// newArgoCD starts what serves Argo CD within this process, and makes its processes, which start when the platform has
// installed Argo CD.
func (c *cluster) newArgoCD(ctx context.Context) ([]*child, error) {
	l := c.s.layout
	stopRedis, err := rediscache.Serve(l.RedisSocket())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, stopRedis)
	// The repository server looks for its certificate in a place of its own.
	for link, file := range map[string]string{"tls.crt": "server.crt", "tls.key": "server.key"} {
		if err := replaceLink(l.PKI("argocd", file), filepath.Join(argoConfig(l), "reposerver", "tls", link)); err != nil {
			return nil, err
		}
	}
	if err := c.writePrograms(); err != nil {
		return nil, err
	}
	private := l.Path("run", "repo-server.env.json")
	if err := c.serveGit(ctx, private); err != nil {
		return nil, err
	}
	repo := &child{
		name:   repoServer,
		before: c.waitForArgoCD,
		args:   c.repoServerArgs,
		env:    c.env(30, 1200, append(c.argoEnv(), c.repoServerEnv(private)...)...),
		after:  c.repoServerServes,
	}
	controller := &child{
		name:   appController,
		before: c.waitForArgoCD,
		args:   c.appControllerArgs,
		env:    c.env(30, 1200, append(c.argoEnv(), "KUBECONFIG="+c.keys.kubeconfigFile(appController))...),
	}
	sets := &child{
		name:   applicationSet,
		before: c.waitForArgoCD,
		args:   c.applicationSetArgs,
		env:    c.env(30, 1200, append(c.argoEnv(), "KUBECONFIG="+c.keys.kubeconfigFile(applicationSet))...),
	}
	// Before any of them starts: each tells another where it will listen.
	for _, name := range []string{portRepoServer, portRepoMetrics, portControllerMetrics, portWebhook} {
		if _, _, err := c.s.port(name); err != nil {
			return nil, err
		}
	}
	return []*child{repo, controller, sets}, nil
}

// writePrograms puts the scripts that Argo CD's container image has beside its programs into the cluster's folder.
func (c *cluster) writePrograms() error {
	bin := c.s.layout.Path("bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return err
	}
	const verify = "git-verify-wrapper.sh"
	text, err := configFiles.ReadFile("bin/" + verify)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bin, verify), text, 0o700)
}

// serveGit serves the cluster's repository and writes how to reach it, password included, to the file private.
func (c *cluster) serveGit(ctx context.Context, private string) error {
	password := rand.Text()
	handler, err := gitservice.Handler(c.s.layout.Git(), password)
	if err != nil {
		return err
	}
	if _, _, err := c.s.port(portProxy); err != nil {
		return err
	}
	address := c.s.address(portProxy)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("git service: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.s.log.Error("git service", "error", err)
		}
	}()
	proxy := gitservice.ProxyURL(address, password)
	return state.WriteJSON(private, map[string]string{"http_proxy": proxy, "HTTP_PROXY": proxy})
}

// waitForArgoCD waits for everything that Argo CD's processes read at their start.
func (c *cluster) waitForArgoCD(ctx context.Context, waiting func(string)) error {
	if err := c.waitForAPI(ctx, waiting); err != nil {
		return err
	}
	waiting("the platform to install Argo CD")
	return c.argo.Wait(ctx)
}

// watchForArgoCD opens the gate once everything that Argo CD's processes read is there.
func (c *cluster) watchForArgoCD(ctx context.Context) {
	// The cluster is what the user waits for first; Argo CD's start would take the processors from it.
	for _, client := range c.clients {
		if essential(client.name) && client.up.Wait(ctx) != nil {
			return
		}
	}
	for ctx.Err() == nil {
		if c.apiserver.up.Wait(ctx) != nil {
			return
		}
		missing, err := c.missingForArgoCD(ctx)
		if err == nil && missing == "" {
			c.argo.Open()
			return
		}
		select {
		case <-time.After(argoCheckEvery):
		case <-ctx.Done():
		}
	}
}

// missingForArgoCD names the first object that isn't there yet.
func (c *cluster) missingForArgoCD(ctx context.Context) (string, error) {
	config, err := c.keys.restConfig()
	if err != nil {
		return "", err
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return "", err
	}
	for _, want := range []struct {
		resource schema.GroupVersionResource
		names    []string
	}{
		// A kind that can be listed is established.
		{schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}, nil},
		{schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "appprojects"}, nil},
		{schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applicationsets"}, nil},
		{corev1.SchemeGroupVersion.WithResource("configmaps"), []string{"argocd-cm", "argocd-rbac-cm"}},
		{corev1.SchemeGroupVersion.WithResource("secrets"), []string{"argocd-secret"}},
	} {
		objects := client.Resource(want.resource).Namespace(argoNamespace)
		if len(want.names) == 0 {
			if _, err := objects.List(ctx, metav1.ListOptions{Limit: 1}); err != nil {
				return want.resource.Resource, ignoreNotFound(err)
			}
		}
		for _, name := range want.names {
			if _, err := objects.Get(ctx, name, metav1.GetOptions{}); err != nil {
				return want.resource.Resource + " " + argoNamespace + "/" + name, ignoreNotFound(err)
			}
		}
	}
	return "", nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (c *cluster) repoServerArgs() ([]string, error) {
	port, changed, err := c.s.port(portRepoServer)
	if err != nil {
		return nil, err
	}
	if changed {
		for _, client := range c.clients {
			if client.name == appController || client.name == applicationSet {
				client.kill()
			}
		}
	}
	metrics, _, err := c.s.port(portRepoMetrics)
	if err != nil {
		return nil, err
	}
	return []string{
		"--address=" + state.Loopback, "--port=" + strconv.Itoa(port),
		"--metrics-address=" + state.Loopback, "--metrics-port=" + strconv.Itoa(metrics),
		"--redis=" + c.s.layout.RedisSocket(),
		"--client-ca-path=" + c.keys.argocd.CertFile(),
		"--parallelismlimit=4",
		"--loglevel=" + argoLogLevel,
	}, nil
}

func (c *cluster) appControllerArgs() ([]string, error) {
	metrics, _, err := c.s.port(portControllerMetrics)
	if err != nil {
		return nil, err
	}
	return append([]string{
		"--kubeconfig=" + c.keys.kubeconfigFile(appController),
		"--namespace=" + argoNamespace,
		"--redis=" + c.s.layout.RedisSocket(),
		"--repo-server=" + c.s.address(portRepoServer),
		"--metrics-port=" + strconv.Itoa(metrics),
		"--loglevel=" + argoLogLevel,
	}, c.repoClientArgs(appController)...), nil
}

func (c *cluster) applicationSetArgs() ([]string, error) {
	webhook, _, err := c.s.port(portWebhook)
	if err != nil {
		return nil, err
	}
	return append([]string{
		"--kubeconfig=" + c.keys.kubeconfigFile(applicationSet),
		"--namespace=" + argoNamespace,
		"--argocd-repo-server=" + c.s.address(portRepoServer),
		"--metrics-addr=0", "--probe-addr=0", // off
		"--webhook-addr=" + net.JoinHostPort(state.Loopback, strconv.Itoa(webhook)),
		"--loglevel=" + argoLogLevel,
	}, c.repoClientArgs(applicationSet)...), nil
}

// argoLogLevel: what goes wrong. At "info" every reconciliation is several lines.
const argoLogLevel = "warn"

func (c *cluster) repoClientArgs(identity string) []string {
	return []string{
		"--repo-server-ca-cert-path=" + c.keys.argocd.CertFile(),
		"--repo-server-client-cert-path=" + c.s.layout.PKI("argocd", identity+".crt"),
		"--repo-server-client-cert-key-path=" + c.s.layout.PKI("argocd", identity+".key"),
	}
}

// argoEnv makes Argo CD take the cluster of its kubeconfig for the one it runs in, and keeps it out of the folders of its
// container image.
func (c *cluster) argoEnv() []string {
	l := c.s.layout
	return []string{
		"ARGOCD_FAKE_IN_CLUSTER=true",
		"ARGOCD_APP_CONF_PATH=" + argoConfig(l),
		"ARGOCD_TLS_DATA_PATH=" + filepath.Join(argoConfig(l), "tls"),
		"ARGOCD_SSH_DATA_PATH=" + filepath.Join(argoConfig(l), "ssh"),
		"ARGOCD_PLUGINSOCKFILEPATH=" + filepath.Join(argoConfig(l), "plugins"),
		// Nothing of the platform is signed, and gpg would have to be installed.
		"ARGOCD_GPG_ENABLED=false",
	}
}

func (c *cluster) repoServerEnv(private string) []string {
	l := c.s.layout
	return []string{
		state.PrivateEnvironment(private),
		// helm lies beside this program, before any that the user may have installed.
		"PATH=" + strings.Join([]string{l.Path("bin"), filepath.Dir(c.s.runner.program), os.Getenv("PATH")}, string(os.PathListSeparator)),
		"ARGOCD_ASK_PASS_SOCK=" + l.Path("run", "ask-pass.sock"),
		"HELM_CACHE_HOME=" + l.Path("tmp", "helm"),
		"HELM_CONFIG_HOME=" + l.Path("tmp", "helm"),
		"HELM_DATA_HOME=" + l.Path("tmp", "helm"),
		"GIT_CONFIG_NOSYSTEM=1",
	}
}

// repoServerServes waits until the repository server accepts connections.
func (c *cluster) repoServerServes(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.s.address(portRepoServer))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func argoConfig(l state.Layout) string { return l.Path("config", "argocd") }

func replaceLink(target, link string) error {
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		return err
	}
	if err := os.RemoveAll(link); err != nil {
		return err
	}
	return os.Symlink(target, link)
}
