package secrets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/utils/ptr"

	"github.com/idp-blueprint/idp/internal/platform"
)

const (
	fieldManager = "idp"
	managedBy    = "app.kubernetes.io/managed-by"

	annotationPhase   = "idp.dev/secrets-phase"
	annotationOpen    = "idp.dev/secrets-open"
	annotationApplied = "idp.dev/secrets-applied"
	annotationCluster = "idp.dev/secrets-cluster"
	annotationServers = "idp.dev/secrets-servers"

	formerPrefix   = "former-"
	loginSeconds   = 600
	requestTimeout = 30 * time.Second
	forwardTimeout = 15 * time.Second
)

// Kube is the site of a store that a StatefulSet of the cluster runs. Its servers are reached by port-forward, over TLS that is
// verified by the platform's authority.
type Kube struct {
	config *rest.Config
	client kubernetes.Interface
	server platform.SecretServer

	mu       sync.Mutex
	forwards map[types.UID]*forward
}

// NewKube is the site that a declaration names in the cluster that cfg reaches. It sends nothing yet.
func NewKube(cfg *rest.Config, server platform.SecretServer) (*Kube, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.RateLimiter = -1, nil // the API server's own fairness decides
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	return &Kube{config: cfg, client: client, server: server, forwards: map[types.UID]*forward{}}, nil
}

// Close ends the port-forwards.
func (k *Kube) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, f := range k.forwards {
		f.stop()
		delete(k.forwards, uid)
	}
}

// Members implements Site.
func (k *Kube) Members(ctx context.Context) ([]Member, error) {
	set, err := k.client.AppsV1().StatefulSets(k.server.Namespace).Get(ctx, k.server.StatefulSet, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return []Member{{Name: k.server.StatefulSet, Err: errors.New("its StatefulSet isn't there yet")}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading StatefulSet %s/%s: %w", k.server.Namespace, k.server.StatefulSet, err)
	}
	disks, err := k.disks(ctx, set)
	if err != nil {
		return nil, err
	}
	authority, err := k.authority(ctx)
	var members []Member
	for i := range ptr.Deref(set.Spec.Replicas, 1) {
		m := Member{Name: fmt.Sprintf("%s-%d", set.Name, i), Err: err}
		if err == nil {
			m.URL, m.HTTP, m.Process, m.Err = k.reach(ctx, m.Name, authority)
		}
		m.Disk = disks(m.Name)
		members = append(members, m)
	}
	return members, nil
}

// disks tells which volumes each pod of a StatefulSet has.
func (k *Kube) disks(ctx context.Context, set *appsv1.StatefulSet) (func(pod string) string, error) {
	if len(set.Spec.VolumeClaimTemplates) == 0 {
		return func(string) string { return "" }, nil
	}
	claims, err := k.client.CoreV1().PersistentVolumeClaims(set.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the volumes of StatefulSet %s/%s: %w", set.Namespace, set.Name, err)
	}
	ids := map[string]types.UID{}
	for _, c := range claims.Items {
		ids[c.Name] = c.UID
	}
	return func(pod string) string {
		var own []string
		for _, template := range set.Spec.VolumeClaimTemplates {
			if id := ids[template.Name+"-"+pod]; id != "" {
				own = append(own, string(id))
			}
		}
		return strings.Join(own, " ")
	}, nil
}

// process tells the server's process from the one before it: by its pod, and by the container that serves the port.
func (k *Kube) process(pod *corev1.Pod) string {
	serves := func(name string) bool {
		return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
			return c.Name == name && slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return int(p.ContainerPort) == k.server.Port })
		})
	}
	id := string(pod.UID)
	for _, c := range pod.Status.ContainerStatuses {
		if serves(c.Name) {
			id += fmt.Sprintf(" %s %d", c.ContainerID, c.RestartCount)
		}
	}
	return id
}

// authority are those who may have signed the servers' certificates.
func (k *Kube) authority(ctx context.Context) (*x509.CertPool, error) {
	pem, err := k.Certificate(ctx)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in key %[3]s of the ConfigMap %[1]s/%[2]s", k.server.CA.Namespace, k.server.CA.Name, k.server.CA.Key)
	}
	return pool, nil
}

// Certificate are the certificates of the platform's authorities, in PEM: of one, but while another takes its place.
func (k *Kube) Certificate(ctx context.Context) ([]byte, error) {
	ca := k.server.CA
	trusted, err := k.client.CoreV1().ConfigMaps(ca.Namespace).Get(ctx, ca.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the platform's authority: %w", err)
	}
	if trusted.Data[ca.Key] == "" {
		return nil, fmt.Errorf("no key %[3]q in the ConfigMap %[1]s/%[2]s", ca.Namespace, ca.Name, ca.Key)
	}
	return []byte(trusted.Data[ca.Key]), nil
}

// reach forwards a port of this machine to a pod; it tells which process is behind it.
func (k *Kube) reach(ctx context.Context, name string, authority *x509.CertPool) (url string, client *http.Client, process string, err error) {
	pod, err := k.client.CoreV1().Pods(k.server.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", nil, "", err
	}
	if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
		return "", nil, "", fmt.Errorf("its pod is %s", pod.Status.Phase)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.forwards[pod.UID]
	if f == nil || f.ended() {
		if f, err = k.forward(ctx, name); err != nil {
			return "", nil, "", err
		}
		k.forwards[pod.UID] = f
	}
	// One connection a request: one that was forwarded to a server that restarted would hang.
	client = &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: authority, ServerName: k.server.Service + "." + k.server.Namespace + ".svc",
		},
	}}
	return fmt.Sprintf("https://127.0.0.1:%d", f.port), client, k.process(pod), nil
}

// forward is one port-forward.
type forward struct {
	port uint16
	stop context.CancelFunc
	done chan struct{}
}

func (f *forward) ended() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

func (k *Kube) forward(ctx context.Context, pod string) (*forward, error) {
	target := k.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(k.server.Namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(k.config)
	if err != nil {
		return nil, err
	}
	dialer := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	if tunnel, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, k.config); err == nil {
		dialer = portforward.NewFallbackDialerForStreaming(tunnel, dialer, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
	}
	// It lives longer than the request that opens it, and doesn't log: what matters comes back as an error.
	alive, stop := context.WithCancel(klog.NewContext(context.WithoutCancel(ctx), logr.Discard()))
	f := &forward{stop: stop, done: make(chan struct{})}
	ready := make(chan struct{})
	ports := []string{"0:" + strconv.Itoa(k.server.Port)}
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(alive, dialer, []string{"127.0.0.1"}, ports, ready, io.Discard, io.Discard)
	if err != nil {
		stop()
		return nil, err
	}
	var failed error
	go func() {
		defer close(f.done)
		failed = forwarder.ForwardPorts()
	}()
	timer := time.NewTimer(forwardTimeout)
	defer timer.Stop()
	select {
	case <-ready:
		open, err := forwarder.GetPorts()
		if err != nil {
			stop()
			return nil, err
		}
		f.port = open[0].Local
		return f, nil
	case <-f.done:
		stop()
		return nil, fmt.Errorf("forwarding a port to it: %w", failed)
	case <-timer.C:
		stop()
		return nil, fmt.Errorf("forwarding a port to it: no answer within %s", forwardTimeout)
	case <-ctx.Done():
		stop()
		return nil, context.Cause(ctx)
	}
}

// Login implements Site.
func (k *Kube) Login(ctx context.Context) (string, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{Audience}, ExpirationSeconds: ptr.To[int64](loginSeconds),
	}}
	made, err := k.client.CoreV1().ServiceAccounts(k.server.Namespace).CreateToken(ctx, k.server.ServiceAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking for a token of ServiceAccount %s/%s: %w", k.server.Namespace, k.server.ServiceAccount, err)
	}
	return made.Status.Token, nil
}

// Wipe implements Site: the volumes go, and the pods, which the StatefulSet makes anew with new volumes.
func (k *Kube) Wipe(ctx context.Context) error {
	set, err := k.client.AppsV1().StatefulSets(k.server.Namespace).Get(ctx, k.server.StatefulSet, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("emptying the storage: %w", err)
	}
	var failed []error
	note := func(err error) {
		if err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, err)
		}
	}
	for i := range ptr.Deref(set.Spec.Replicas, 1) {
		pod := fmt.Sprintf("%s-%d", set.Name, i)
		for _, claim := range set.Spec.VolumeClaimTemplates {
			note(k.client.CoreV1().PersistentVolumeClaims(set.Namespace).Delete(ctx, claim.Name+"-"+pod, metav1.DeleteOptions{}))
		}
		note(k.client.CoreV1().Pods(set.Namespace).Delete(ctx, pod, metav1.DeleteOptions{}))
	}
	return errors.Join(failed...)
}

// Load implements Site: the state is one Secret, its keys as the unsealer in the cluster reads them.
func (k *Kube) Load(ctx context.Context) (State, error) {
	keys := k.server.UnsealKeys
	secret, err := k.client.CoreV1().Secrets(keys.Namespace).Get(ctx, keys.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("reading Secret %s/%s: %w", keys.Namespace, keys.Name, err)
	}
	return stateOf(secret, keys.Key), nil
}

func stateOf(secret *corev1.Secret, prefix string) State {
	list := func(prefix string) (values []string) {
		for i := 0; ; i++ {
			value, there := secret.Data[prefix+strconv.Itoa(i)]
			if !there {
				return values
			}
			values = append(values, strings.TrimSpace(string(value)))
		}
	}
	a := secret.Annotations
	return State{
		Keys: list(prefix), Former: list(formerPrefix + prefix), Phase: Phase(a[annotationPhase]), Open: a[annotationOpen] == "true",
		Applied: a[annotationApplied], Cluster: a[annotationCluster], Servers: serversOf(a[annotationServers]), Version: secret.ResourceVersion,
	}
}

// serversOf are none where the text can't be read: then nothing is known of them.
func serversOf(text string) (servers map[string]Server) {
	if json.Unmarshal([]byte(text), &servers) != nil {
		return nil
	}
	return servers
}

// Save implements Site.
func (k *Kube) Save(ctx context.Context, s State) (State, error) {
	keys := k.server.UnsealKeys
	servers, err := json.Marshal(s.Servers)
	if err != nil {
		return State{}, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: keys.Name, Namespace: keys.Namespace, ResourceVersion: s.Version, Labels: map[string]string{managedBy: fieldManager},
			Annotations: map[string]string{
				annotationPhase: string(s.Phase), annotationOpen: strconv.FormatBool(s.Open),
				annotationApplied: s.Applied, annotationCluster: s.Cluster, annotationServers: string(servers),
			},
		},
		Data: map[string][]byte{},
	}
	for i, key := range s.Keys {
		secret.Data[keys.Key+strconv.Itoa(i)] = []byte(key)
	}
	for i, key := range s.Former {
		secret.Data[formerPrefix+keys.Key+strconv.Itoa(i)] = []byte(key)
	}
	if s.Version == "" {
		secret, err = k.client.CoreV1().Secrets(keys.Namespace).Create(ctx, secret, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		secret, err = k.client.CoreV1().Secrets(keys.Namespace).Update(ctx, secret, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return State{}, fmt.Errorf("keeping the state of the secret store in Secret %s/%s: %w", keys.Namespace, keys.Name, err)
	}
	return stateOf(secret, keys.Key), nil
}
