package simulator

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// serveEgress starts an egress on a Unix socket and returns it with a client that goes through it as the API server does.
func serveEgress(t *testing.T, l *ledger) (*egress, func(host string, roots []byte) *http.Client) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	e := newEgress(testAuthority(t), &responder{ledger: l, log: quiet}, quiet)
	socket := filepath.Join(t.TempDir(), "egress.sock")
	listener, err := listenUnix(socket)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return e, func(host string, roots []byte) *http.Client {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(roots)
		transport := &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: host},
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				return connect(ctx, socket, addr)
			},
		}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	}
}

// connect opens a tunnel the way the API server's HTTPConnect dialer does.
func connect(ctx context.Context, socket, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", addr); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("CONNECT: %s", res.Status)
	}
	return conn, nil
}

func TestEgress(t *testing.T) {
	const host = "hook.ns.svc"
	admission := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u1"}}`
	tests := map[string]struct {
		method, url, body string
		code              int
		want              string
		noted             []string
	}{
		"admission": {
			"POST", "https://10.96.0.7:443/validate?timeout=10s", admission, 200,
			`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u1","allowed":true,"warnings":["admitted by a simulated webhook (hook.ns): nothing was checked"]}}`,
			[]string{"webhook hook.ns"},
		},
		"admission, v1beta1": {
			"POST", "https://10.96.0.7:443/", strings.Replace(admission, "/v1", "/v1beta1", 1), 200,
			`{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","response":{"uid":"u1","allowed":true,"warnings":["admitted by a simulated webhook (hook.ns): nothing was checked"]}}`,
			[]string{"webhook hook.ns"},
		},
		"conversion": {
			"POST", "https://10.96.0.7:443/convert",
			`{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","request":{"uid":"u2","desiredAPIVersion":"ex.dev/v2","objects":[{"apiVersion":"ex.dev/v1","kind":"Foo","spec":{"a":1}}]}}`, 200,
			`{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","response":{"uid":"u2","convertedObjects":[{"apiVersion":"ex.dev/v2","kind":"Foo","spec":{"a":1}}],"result":{"metadata":{},"status":"Success"}}}`,
			[]string{"webhook hook.ns"},
		},
		"discovery of a version": {
			"GET", "https://10.96.0.7:443/apis/metrics.k8s.io/v1beta1", "", 200,
			`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[]}`,
			[]string{"API metrics.k8s.io/v1beta1"},
		},
		"a resource of it": {
			"GET", "https://10.96.0.7:443/apis/metrics.k8s.io/v1beta1/nodes", "", 404,
			`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"simulated: the API metrics.k8s.io/v1beta1 behind hook.ns serves no resource","reason":"NotFound","code":404}`,
			nil,
		},
		"a review without uid": {"POST", "https://10.96.0.7:443/", `{"kind":"AdmissionReview","request":{}}`, 400, "simulated: the AdmissionReview's request has no uid", nil},
		"some other post":      {"POST", "https://10.96.0.7:443/x", `hello`, 502, "simulated: no container runs behind hook.ns.svc, so POST /x has no answer", nil},
		"a Service's page":     {"GET", "http://10.96.0.7:80/metrics", "", 502, "simulated: no container runs behind 10.96.0.7:80, so GET /metrics has no answer", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			e, client := serveEgress(t, l)
			req, err := http.NewRequest(tt.method, tt.url, strings.NewReader(tt.body))
			require.NoError(t, err)
			res, err := client(host, e.ca.bundle).Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, tt.code, res.StatusCode, string(body))
			if strings.HasPrefix(tt.want, "{") {
				require.JSONEq(t, tt.want, string(body))
			} else {
				require.Equal(t, tt.want, strings.TrimSpace(string(body)))
			}
			require.ElementsMatch(t, tt.noted, l.List())
		})
	}
}

func TestEgressRoutesToTheRealProcess(t *testing.T) {
	e, client := serveEgress(t, newLedger())
	real := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "the real one") }))
	defer real.Close()
	e.Route("example.com", func(ctx context.Context) (net.Conn, error) { // the name in httptest's certificate
		var d net.Dialer
		return d.DialContext(ctx, "tcp", real.Listener.Addr().String())
	})
	require.True(t, e.Routed("example.com"))
	res, err := client("example.com", encodeCertificate(real.Certificate().Raw)).Get("https://10.96.0.8:443/")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "the real one", string(body))
}

func TestEgressServesAChartsPair(t *testing.T) {
	e, client := serveEgress(t, newLedger())
	chart := chartAuthority(t)
	get := func(roots []byte) error {
		res, err := client("hook.ns.svc", roots).Get("https://10.96.0.7:443/apis")
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	require.Error(t, get(chart.bundle))
	pair, err := chart.Leaf("hook.ns.svc")
	require.NoError(t, err)
	e.ServeWith("hook.ns.svc", pair)
	require.NoError(t, get(chart.bundle))
	e.ServeWith("hook.ns.svc", nil)
	require.NoError(t, get(e.ca.bundle))
}

func TestEgressTakesConnectOnly(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := listenUnix(socket)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	go func() { _ = newEgress(testAuthority(t), http.NotFoundHandler(), quiet).Serve(ctx, listener) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	res, err := client.Get("http://egress/")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
}

func FuzzReviews(f *testing.F) {
	f.Add([]byte(`{"uid":"u","desiredAPIVersion":"a/v1","objects":[{}]}`))
	f.Add([]byte(`{"uid":"u","objects":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := admit(data, "x"); err == nil {
			require.True(t, got.Allowed)
		}
		if got, err := convert(data); err == nil {
			for _, o := range got.Converted {
				require.NotEmpty(t, o["apiVersion"])
			}
		}
	})
}
