package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"
)

// binaryVariable names the program of a real server, Vault or OpenBao, for the contract test.
const binaryVariable = "IDP_VAULT_BIN"

// TestContract runs the life of a store on a real server: what the stand-in answers is what such a server answers.
func TestContract(t *testing.T) {
	binary := os.Getenv(binaryVariable)
	if binary == "" {
		t.Skipf("%s is not set: only the stand-in was tested", binaryVariable)
	}
	reviews := httptest.NewServer(http.HandlerFunc(reviewTokens))
	t.Cleanup(reviews.Close)
	server := startReal(t, binary)
	b := newBench(t, server)
	b.audit = filepath.Join(server.dir, "audit.log")
	b.kube = reviews.URL
	b.auth = map[string]any{"disable_local_ca_jwt": true, "token_reviewer_jwt": jwtOf("v", "reviewer", "reviews")}
	life(t, b)
	log, err := os.ReadFile(b.audit)
	require.NoError(t, err)
	for _, values := range b.values(large, "a/admin", "b/app") {
		for _, key := range []string{"password", "more", "login"} {
			if values[key] != "" {
				require.NotContains(t, string(log), values[key], "the audit log has hashes")
			}
		}
	}
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

// real is a server process.
type real struct {
	http.RoundTripper
	binary, dir, url string
	process          *exec.Cmd
	output           *bytes.Buffer
}

func startReal(t *testing.T, binary string) *real {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	s := &real{RoundTripper: &http.Transport{DisableKeepAlives: true}, binary: binary, dir: t.TempDir(), url: "http://" + address}
	config := fmt.Sprintf(`disable_mlock = true
# OpenBao only; Vault doesn't know it, and needs none.
unsafe_allow_api_audit_creation = true
api_addr = %q
storage "file" { path = %q }
listener "tcp" {
  address     = %q
  tls_disable = true
}
`, s.url, filepath.Join(s.dir, "data"), address)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "server.hcl"), []byte(config), 0o600))
	s.start(t)
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *real) URL() string { return s.url }

func (s *real) start(t *testing.T) {
	t.Helper()
	s.output = &bytes.Buffer{}
	s.process = exec.Command(s.binary, "server", "-config="+filepath.Join(s.dir, "server.hcl"))
	s.process.Stdout, s.process.Stderr = s.output, s.output
	s.process.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	require.NoError(t, s.process.Start())
	client, err := newClient(s.url, nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := client.Sys().SealStatus()
		return err == nil
	}, time.Minute, 50*time.Millisecond, "the server doesn't answer")
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
	s.start(t)
}

func (s *real) Wipe(t *testing.T) {
	t.Helper()
	s.stop()
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "data")))
	s.start(t)
}

// as logs in as a ServiceAccount, as External Secrets does.
func (b *bench) as(t *testing.T, namespace, account, audience string) *api.Client {
	t.Helper()
	client, err := b.tryAs(t, namespace, account, audience)
	require.NoError(t, err)
	return client
}

func (b *bench) tryAs(t *testing.T, namespace, account, audience string) (*api.Client, error) {
	t.Helper()
	client, err := newClient(b.server.URL(), &http.Client{Transport: b.server})
	require.NoError(t, err)
	answer, err := client.Logical().Write("auth/kubernetes/login", map[string]any{"role": namespace, "jwt": jwtOf(namespace, account, audience)})
	if err != nil {
		return nil, err
	}
	client.SetToken(answer.Auth.ClientToken)
	return client, nil
}
