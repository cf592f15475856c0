package simulator

import (
	"context"
	"crypto"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
)

func service(namespace, name string) *admissionv1.ServiceReference {
	return &admissionv1.ServiceReference{Namespace: namespace, Name: name}
}

func TestSlots(t *testing.T) {
	url := "https://elsewhere/"
	definition := func(text string) *crd {
		var c crd
		require.NoError(t, json.Unmarshal([]byte(text), &c))
		return &c
	}
	tests := map[string]struct {
		object any
		want   []slot
	}{
		"webhooks": {
			&admissionv1.ValidatingWebhookConfiguration{Webhooks: []admissionv1.ValidatingWebhook{
				{Name: "by-url", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}},
				{Name: "by-service", ClientConfig: admissionv1.WebhookClientConfig{Service: service("ns", "hook"), CABundle: []byte("x")}},
			}},
			[]slot{{"ns", "hook", []byte("x"), "/webhooks/1/clientConfig/caBundle", &patchOpItem{"test", "/webhooks/1/name", "by-service"}}},
		},
		"mutating webhooks": {
			&admissionv1.MutatingWebhookConfiguration{Webhooks: []admissionv1.MutatingWebhook{{Name: "m", ClientConfig: admissionv1.WebhookClientConfig{Service: service("ns", "hook")}}}},
			[]slot{{"ns", "hook", nil, "/webhooks/0/clientConfig/caBundle", &patchOpItem{"test", "/webhooks/0/name", "m"}}},
		},
		"CRD with a conversion webhook": {
			definition(`{"spec":{"conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"service":{"namespace":"ns","name":"conv"},"caBundle":"eA=="}}}}}`),
			[]slot{{"ns", "conv", []byte("x"), "/spec/conversion/webhook/clientConfig/caBundle", nil}},
		},
		"CRD without": {definition(`{"spec":{"conversion":{"strategy":"None"}}}`), nil},
		"APIService": {
			&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"service": map[string]any{"namespace": "ns", "name": "api"}}}},
			[]slot{{"ns", "api", nil, "/spec/caBundle", nil}},
		},
		"APIService that isn't checked": {
			&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"service": map[string]any{"namespace": "ns", "name": "api"}, "insecureSkipTLSVerify": true}}}, nil,
		},
		"APIService of the API server itself": {&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"group": "apps"}}}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, slots(tt.object)) })
	}
}

func TestDecide(t *testing.T) {
	ctx := context.Background()
	ca, chart := testAuthority(t), chartAuthority(t)
	leaf, err := chart.Leaf("hook.ns.svc")
	require.NoError(t, err)
	key, err := encodeKey(leaf.PrivateKey.(crypto.Signer))
	require.NoError(t, err)
	pair := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "hook-tls"},
		Data:       map[string][]byte{"cert": encodeCertificate(leaf.Certificate[0]), "key": key, "note": []byte("PRIVATE KEY of nothing")},
	}
	tests := map[string]struct {
		bundle         []byte
		secret         *corev1.Secret
		service        string
		write, again   bool
		later          bool // what comes of it once a pair was looked for long enough
		serves, routed bool
	}{
		"empty":                           {service: "hook", write: true},
		"placeholder":                     {service: "hook", bundle: []byte("\n"), write: true},
		"ours":                            {service: "hook", bundle: ca.bundle},
		"of the cluster it was copied of": {service: "hook", bundle: testAuthority(t).bundle, write: true},
		"a chart's with its Secret":       {service: "hook", bundle: chart.bundle, secret: pair, serves: true},
		"a chart's without":               {service: "hook", bundle: chart.bundle, again: true, later: true},
		"a chart's for another Service":   {service: "other", bundle: chart.bundle, secret: pair, again: true, later: true},
		"of a real process":               {service: "hook", routed: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			if tt.secret != nil {
				require.NoError(t, client.Tracker().Add(tt.secret))
			}
			now := time.Now()
			e := newEgress(ca, nil, slog.New(slog.DiscardHandler))
			if tt.routed {
				e.Route("hook.ns.svc", nil)
			}
			tr := &trust{ca: ca, egress: e, client: client, ledger: newLedger(), log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }, writes: map[string]*writes{}}
			s := slot{namespace: "ns", service: tt.service, bundle: tt.bundle, pointer: "/p"}
			write, again, err := tr.decide(ctx, trustKey{kindValidating, "w"}, s)
			require.NoError(t, err)
			require.Equal(t, tt.write, write)
			require.Equal(t, tt.again, again)
			require.Equal(t, tt.serves, e.leaves["hook.ns.svc"] != nil)
			now = now.Add(lookForPair + time.Second)
			if !tt.again {
				return
			}
			write, again, err = tr.decide(ctx, trustKey{kindValidating, "w"}, s)
			require.NoError(t, err)
			require.Equal(t, tt.later, write)
			require.False(t, again)
		})
	}
}

// A bundle that someone keeps emptying is written again ever more rarely.
func TestDecidePauses(t *testing.T) {
	now := time.Now()
	tr := &trust{ca: testAuthority(t), egress: newEgress(nil, nil, nil), ledger: newLedger(), now: func() time.Time { return now }, writes: map[string]*writes{}}
	s := slot{namespace: "ns", service: "hook", pointer: "/p"}
	count := 0
	for range 60 { // a minute, once a second
		write, _, err := tr.decide(context.Background(), trustKey{kindMutating, "w"}, s)
		require.NoError(t, err)
		if write {
			count++
		}
		now = now.Add(time.Second)
	}
	require.Equal(t, 9, count)
}
