package secrets

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// binaryVariable names the program of a real server, Vault or OpenBao.
const binaryVariable = "IDP_VAULT_BIN"

// real is a server process as the platform runs it: raft storage, TLS, an audit log, logins that the cluster reviews.
type real struct {
	http.RoundTripper
	now      identity
	binary   string
	dir, url string
	kube     *httptest.Server // reviews tokens
	process  *exec.Cmd
	care     *exec.Cmd // the caretaker
	output   *bytes.Buffer
}

// The storages of a real server: the platform's, which takes seconds to elect its only voter, and one that is there at once.
const (
	onRaft  = "storage \"raft\" {\n  node_id = \"one\"\n  performance_multiplier = 1\n  path = %q\n}\n"
	onFiles = "storage \"file\" {\n  path = %q\n}\n"
)

func startReal(t *testing.T, binary, storage string) *real {
	t.Helper()
	own, authority := certificate(t, "127.0.0.1")
	trusted := x509.NewCertPool()
	require.True(t, trusted.AppendCertsFromPEM(authority))
	s := &real{
		RoundTripper: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}},
		binary:       binary, dir: t.TempDir(), url: "https://" + freeAddress(t), kube: httptest.NewTLSServer(http.HandlerFunc(reviewTokens)),
	}
	t.Cleanup(s.kube.Close)
	s.writeCertificate(t, own)
	version, err := exec.Command(binary, "version").Output()
	require.NoError(t, err)
	config := fmt.Sprintf(`disable_mlock = true
api_addr = %q
cluster_addr = "https://%s"
%s
listener "tcp" {
  address = %q
  tls_cert_file = %q
  tls_key_file = %q
}
`, s.url, freeAddress(t), fmt.Sprintf(storage, s.path("data")), strings.TrimPrefix(s.url, "https://"), s.path("tls.crt"), s.path("tls.key"))
	if strings.HasPrefix(string(version), "OpenBao") {
		// It makes no audit device by its API.
		config += fmt.Sprintf("audit \"file\" \"log\" {\n  options {\n    file_path = %q\n  }\n}\n", s.path("audit.log"))
	}
	require.NoError(t, os.WriteFile(s.path("server.hcl"), []byte(config), 0o600))
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

// bench is a store that this server runs.
func (s *real) bench(t *testing.T) *bench {
	b := newBench(t, s)
	b.audit, b.kube = s.path("audit.log"), s.kube.URL
	b.auth = map[string]any{
		"disable_local_ca_jwt": true, "token_reviewer_jwt": jwtOf("v", "reviewer", "reviews"),
		"kubernetes_ca_cert": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.kube.Certificate().Raw})),
	}
	return b
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

func (s *real) path(name string) string { return filepath.Join(s.dir, name) }

func (s *real) writeCertificate(t *testing.T, own tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: own.Certificate[0]}, "tls.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		require.NoError(t, os.WriteFile(s.path(name), pem.EncodeToMemory(block), 0o600))
	}
}

func (s *real) URL() string      { return s.url }
func (s *real) Identity() Server { return s.now.server() }

func (s *real) start(t *testing.T) {
	t.Helper()
	require.NoError(t, os.MkdirAll(s.path("data"), 0o700))
	s.output = &bytes.Buffer{}
	s.process = exec.Command(s.binary, "server", "-config="+s.path("server.hcl"))
	s.process.Stdout, s.process.Stderr = s.output, s.output
	s.process.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	require.NoError(t, s.process.Start())
	client, err := newClient(s.url, &http.Client{Transport: s})
	require.NoError(t, err)
	if !assertSoon(func() bool { _, err := client.Sys().SealStatus(); return err == nil }) {
		s.stop()
		require.Fail(t, "the server doesn't answer", s.output.String())
	}
}

// assertSoon looks until something holds, a minute long.
func assertSoon(holds func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if holds() {
			return true
		}
		<-time.After(10 * time.Millisecond)
	}
	return false
}

func (s *real) stop() {
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
	}
}

func (s *real) Restart(t *testing.T) {
	t.Helper()
	s.stop()
	s.now.restart()
	s.start(t)
}

func (s *real) Wipe(t *testing.T) {
	t.Helper()
	s.stop()
	require.NoError(t, os.RemoveAll(s.path("data")))
	s.now.wipe()
	s.start(t)
}

// log is the audit log.
func (s *real) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(s.path("audit.log"))
	require.NoError(t, err)
	return string(text)
}

// reviewTokens is the API server's answer to a TokenReview.
func reviewTokens(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Spec struct {
			Token     string   `json:"token"`
			Audiences []string `json:"audiences"`
		} `json:"spec"`
	}
	if json.NewDecoder(r.Body).Decode(&asked) != nil || r.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	status := map[string]any{"authenticated": false}
	for _, audience := range asked.Spec.Audiences {
		if namespace, account, ok := review(asked.Spec.Token, audience); ok {
			status = map[string]any{"authenticated": true, "audiences": []string{audience}, "user": map[string]any{
				"username": "system:serviceaccount:" + namespace + ":" + account, "uid": "uid-" + account,
				"groups": []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace},
			}}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
}
