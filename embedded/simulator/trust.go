package simulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// webhookClient is the clientConfig of a webhook, wherever it stands.
type webhookClient struct {
	Service *struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"service,omitempty"`
	CABundle []byte `json:"caBundle,omitempty"`
}

// slot is one place for a caBundle that the API server checks a Service's certificate with.
type slot struct {
	namespace, service string
	bundle             []byte
	pointer            string       // JSON pointer of the caBundle
	guard              *patchOpItem // what must hold for pointer to mean the same thing still
}

func (s slot) host() string { return s.service + "." + s.namespace + ".svc" }

// patchOpItem is one operation of a JSON patch.
type patchOpItem struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// trustKey names an object with slots.
type trustKey struct{ kind, name string }

const (
	kindValidating = "validatingwebhookconfigurations"
	kindMutating   = "mutatingwebhookconfigurations"
	kindAPIService = "apiservices"
	kindCRD        = "customresourcedefinitions"
)

// trust makes the API server trust who answers for webhooks, conversions and aggregated APIs: it writes the simulation CA's
// bundle where cainjector or a chart's job would have written theirs. Where a chart brought its own bundle together with the
// Secret that holds the pair, that pair is served instead, so that Argo CD finds no difference.
type trust struct {
	ca     *authority
	egress *egress
	client kubernetes.Interface
	dyn    dynamic.Interface
	ledger *ledger
	log    *slog.Logger
	now    func() time.Time

	stores map[string]cache.Store

	writes map[string]*writes // by object and pointer; only the queue's one worker looks at it
}

// writes is the history of one slot: a bundle that someone keeps putting back is rewritten ever more rarely.
type writes struct {
	count    int
	last     time.Time
	firstBad time.Time
}

// lookForPair is how long a foreign bundle's pair is looked for before the bundle is replaced.
const lookForPair = 4 * time.Second

// Start begins to watch; crds is the shared informer over CRDs, started by the caller.
func (t *trust) Start(ctx context.Context, crds cache.SharedIndexInformer) error {
	if t.now == nil {
		t.now = time.Now
	}
	t.writes = map[string]*writes{}
	factory := informers.NewSharedInformerFactoryWithOptions(t.client, time.Minute, informers.WithTransform(forgetManagers))
	apiServices := schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: kindAPIService}
	watched := map[string]cache.SharedIndexInformer{
		kindValidating: factory.Admissionregistration().V1().ValidatingWebhookConfigurations().Informer(),
		kindMutating:   factory.Admissionregistration().V1().MutatingWebhookConfigurations().Informer(),
		kindAPIService: dynamicinformer.NewFilteredDynamicInformer(t.dyn, apiServices, "", time.Minute, cache.Indexers{}, nil).Informer(),
		kindCRD:        crds,
	}
	queue := newWork(t.log, t.reconcile)
	t.stores = map[string]cache.Store{}
	for kind, informer := range watched {
		t.stores[kind] = informer.GetStore()
		add := func(obj any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				queue.Add(trustKey{kind, key})
			}
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, obj any) { add(obj) }}); err != nil {
			return fmt.Errorf("watch %s: %w", kind, err)
		}
		if kind == kindCRD {
			continue
		}
		if err := runInformer(ctx, informer, kind); err != nil {
			return err
		}
	}
	go queue.Run(ctx)
	return nil
}

// slots lists the places of one object.
func slots(obj any) []slot {
	var out []slot
	add := func(c webhookClient, pointer string, guard *patchOpItem) {
		if c.Service != nil {
			out = append(out, slot{c.Service.Namespace, c.Service.Name, c.CABundle, pointer, guard})
		}
	}
	hook := func(i int, name string, c admissionv1.WebhookClientConfig) {
		if c.Service == nil {
			return
		}
		base := fmt.Sprintf("/webhooks/%d", i)
		out = append(out, slot{c.Service.Namespace, c.Service.Name, c.CABundle, base + "/clientConfig/caBundle", &patchOpItem{"test", base + "/name", name}})
	}
	switch o := obj.(type) {
	case *admissionv1.ValidatingWebhookConfiguration:
		for i, w := range o.Webhooks {
			hook(i, w.Name, w.ClientConfig)
		}
	case *admissionv1.MutatingWebhookConfiguration:
		for i, w := range o.Webhooks {
			hook(i, w.Name, w.ClientConfig)
		}
	case *crd:
		if c := o.Spec.Conversion; c != nil && c.Strategy == "Webhook" && c.Webhook != nil && c.Webhook.ClientConfig != nil {
			add(*c.Webhook.ClientConfig, "/spec/conversion/webhook/clientConfig/caBundle", nil)
		}
	case *unstructured.Unstructured:
		var spec struct {
			webhookClient
			Insecure bool `json:"insecureSkipTLSVerify"`
		}
		raw, err := json.Marshal(o.Object["spec"])
		if err == nil && json.Unmarshal(raw, &spec) == nil && !spec.Insecure {
			add(spec.webhookClient, "/spec/caBundle", nil)
		}
	}
	return out
}

func (t *trust) reconcile(ctx context.Context, key trustKey) (bool, error) {
	obj, ok, err := t.stores[key.kind].GetByKey(key.name)
	if err != nil || !ok {
		return false, err
	}
	var patch []patchOpItem
	again := false
	for _, s := range slots(obj) {
		write, wait, err := t.decide(ctx, key, s)
		if err != nil {
			return false, err
		}
		again = again || wait
		if !write {
			continue
		}
		if s.guard != nil {
			patch = append(patch, *s.guard)
		}
		patch = append(patch, patchOpItem{"add", s.pointer, t.ca.bundle})
	}
	if len(patch) == 0 {
		return again, nil
	}
	if err := t.patch(ctx, key, patch); err != nil {
		return false, err
	}
	t.ledger.Add("CA bundles")
	return again, nil
}

// decide says whether a slot gets our bundle now, or should be looked at again.
func (t *trust) decide(ctx context.Context, key trustKey, s slot) (write, again bool, err error) {
	id := key.kind + "/" + key.name + s.pointer
	if t.egress.Routed(s.host()) {
		return false, false, nil // the real process brings its own certificate, and whoever runs it the bundle
	}
	if t.ca.Covers(s.bundle) {
		if key.kind != kindAPIService {
			t.ledger.Add("webhook " + serviceName(s.host()))
		}
		return false, false, nil
	}
	h := t.writes[id]
	if h == nil {
		h = &writes{}
		t.writes[id] = h
	}
	if len(parseCertificates(s.bundle)) > 0 && !isSimulation(s.bundle) {
		cert, err := t.findPair(ctx, s)
		if err != nil {
			return false, false, err
		}
		if cert != nil {
			h.firstBad = time.Time{}
			t.egress.ServeWith(s.host(), cert)
			return false, false, nil
		}
		if h.firstBad.IsZero() {
			h.firstBad = t.now()
		}
		if t.now().Sub(h.firstBad) < lookForPair {
			return false, true, nil
		}
		t.ledger.Add("CA bundle of " + serviceName(s.host()) + " (replaced: no Secret holds its key)")
		t.log.Warn("replaced a foreign caBundle, whose key is in no Secret", "object", key.kind+"/"+key.name, "service", serviceName(s.host()))
	}
	if gap := pause(h.count); t.now().Sub(h.last) < gap {
		return false, true, nil
	}
	h.count++
	h.last = t.now()
	t.egress.ServeWith(s.host(), nil)
	return true, false, nil
}

// pause is how long to wait after the n-th write before the next one; the first few follow at once.
func pause(n int) time.Duration {
	if n < 4 {
		return 0
	}
	return min(time.Duration(1)<<min(n, 20)*100*time.Millisecond, 5*time.Minute)
}

// findPair looks, in the Service's namespace, for the Secret with a certificate for the Service that the bundle trusts.
func (t *trust) findPair(ctx context.Context, s slot) (*tls.Certificate, error) {
	list, err := t.client.CoreV1().Secrets(s.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("look for the certificate of %s: %w", s.host(), err)
	}
	for i := range list.Items {
		if cert := servingPair(&list.Items[i], s.host(), s.bundle, t.now()); cert != nil {
			return cert, nil
		}
	}
	return nil, nil
}

// servingPair returns the Secret's key pair if a client that trusts bundle would accept it from host.
func servingPair(secret *corev1.Secret, host string, bundle []byte, now time.Time) *tls.Certificate {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	for certName, certPEM := range secret.Data {
		if !strings.Contains(string(certPEM), "CERTIFICATE") {
			continue
		}
		for keyName, keyPEM := range secret.Data {
			if keyName == certName || !strings.Contains(string(keyPEM), "PRIVATE KEY") {
				continue
			}
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				continue
			}
			leaf, err := x509.ParseCertificate(pair.Certificate[0])
			if err != nil {
				continue
			}
			between := x509.NewCertPool()
			between.AppendCertsFromPEM(certPEM)
			if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: now}); err == nil {
				return &pair
			}
		}
	}
	return nil
}

func (t *trust) patch(ctx context.Context, key trustKey, ops []patchOpItem) error {
	body, err := json.Marshal(ops)
	if err != nil {
		return fmt.Errorf("%s/%s: %w", key.kind, key.name, err)
	}
	group := map[string]string{
		kindValidating: "admissionregistration.k8s.io", kindMutating: "admissionregistration.k8s.io",
		kindAPIService: "apiregistration.k8s.io", kindCRD: "apiextensions.k8s.io",
	}[key.kind]
	gvr := schema.GroupVersionResource{Group: group, Version: "v1", Resource: key.kind}
	_, err = t.dyn.Resource(gvr).Patch(ctx, key.name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("write the caBundle of %s/%s: %w", key.kind, key.name, err)
	}
	return nil
}
