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
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/idp-blueprint/idp/embedded/gitservice"
	"github.com/idp-blueprint/idp/embedded/rediscache"
	"github.com/idp-blueprint/idp/embedded/state"
)

const (
	argoNamespace  = "argocd"
	argoCheckEvery = 200 * time.Millisecond

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
	private := l.Path("run", "repo-server.env.json")
	if err := c.serveGit(ctx, private); err != nil {
		return nil, err
	}
	repo := &child{
		name:   repoServer,
		before: c.waitForArgoCD,
		args:   c.repoServerArgs,
		env:    c.env(50, append(c.argoEnv(), c.repoServerEnv(private)...)...),
		after:  c.repoServerServes,
	}
	controller := &child{
		name:   appController,
		before: c.waitForArgoCD,
		args:   c.appControllerArgs,
		env:    c.env(50, append(c.argoEnv(), "KUBECONFIG="+c.keys.kubeconfigFile(appController))...),
	}
	sets := &child{
		name:   applicationSet,
		before: c.waitForArgoCD,
		args:   c.applicationSetArgs,
		env:    c.env(50, append(c.argoEnv(), "KUBECONFIG="+c.keys.kubeconfigFile(applicationSet))...),
	}
	return []*child{repo, controller, sets}, nil
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
	for {
		missing, err := c.missingForArgoCD(ctx)
		if err != nil {
			missing = fmt.Sprintf("the API server (%v)", err)
		}
		if missing == "" {
			return nil
		}
		waiting(missing)
		select {
		case <-time.After(argoCheckEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// missingForArgoCD names the first object that isn't there yet.
func (c *cluster) missingForArgoCD(ctx context.Context) (string, error) {
	config, err := c.keys.restConfig()
	if err != nil {
		return "", err
	}
	crds, err := apiextensions.NewForConfig(config)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"applications.argoproj.io", "appprojects.argoproj.io", "applicationsets.argoproj.io"} {
		crd, err := crds.ApiextensionsV1().CustomResourceDefinitions().Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) || err == nil && !established(crd):
			return "CustomResourceDefinition " + name, nil
		case err != nil:
			return "", err
		}
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"argocd-cm", "argocd-rbac-cm"} {
		_, err := kube.CoreV1().ConfigMaps(argoNamespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return "ConfigMap " + argoNamespace + "/" + name, nil
		case err != nil:
			return "", err
		}
	}
	_, err = kube.CoreV1().Secrets(argoNamespace).Get(ctx, "argocd-secret", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "Secret " + argoNamespace + "/argocd-secret", nil
	}
	return "", err
}

func established(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
			return true
		}
	}
	return false
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
		"PATH=" + filepath.Dir(c.s.runner.program) + string(os.PathListSeparator) + os.Getenv("PATH"),
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
