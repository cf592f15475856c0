package secrets

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/idp-blueprint/idp/internal/platform"
)

// A server serves the certificate that it has read when it started, until it has expired, and writes the file that it has opened, until the
// disk is full. The caretaker of IT/vault, run as it stands there but for its paths, its pause and the size, puts both right.
func TestCaretaker(t *testing.T) {
	binary := os.Getenv(binaryVariable)
	if binary == "" {
		t.Skipf("%s is not set: the stand-in serves no TLS of its own", binaryVariable)
	}
	s := startReal(t, binary, onFiles)
	// A program of this test's own name: other servers of this machine are left alone.
	name := "idp-" + strconv.Itoa(os.Getpid())
	require.NoError(t, os.Symlink(binary, s.path(name)))
	s.binary = s.path(name)
	s.Restart(t)
	b := s.bench(t)
	_, err := b.store(small).Reconcile(t.Context())
	require.NoError(t, err)

	own, _ := certificate(t, "127.0.0.1")
	s.writeCertificate(t, own)
	s.takeCare(t, name, "104857600")
	require.True(t, assertSoon(func() bool { return slices.Equal(s.serves(t), own.Certificate[0]) }), "the server goes on with its old certificate")
	require.NoFileExists(t, s.path("audit.log.1"), "the log is small")

	s.takeCare(t, name, "1")
	s.RoundTripper = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	require.True(t, assertSoon(func() bool {
		b.seen("a/admin")
		_, err := os.Stat(s.path("audit.log.5"))
		return err == nil
	}), "the log isn't moved, or the server goes on with the moved one")
	require.NoFileExists(t, s.path("audit.log.6"))
}

// takeCare runs the caretaker until the next one, or the end of the test.
func (s *real) takeCare(t *testing.T, name, size string) {
	t.Helper()
	script := caretaker(t)
	for _, change := range [][2]string{
		{"/vault/tls", s.dir}, {"/vault/audit", s.dir}, {"sleep 30", "sleep 0.1"}, {"-x vault", "-x " + name}, {"-gt 104857600", "-gt " + size},
	} {
		require.Contains(t, script, change[0])
		script = strings.ReplaceAll(script, change[0], change[1])
	}
	if s.care != nil {
		_ = s.care.Process.Kill()
		_ = s.care.Wait()
	}
	care := exec.Command("/bin/sh", "-ec", script)
	require.NoError(t, care.Start())
	s.care = care
	t.Cleanup(func() { _ = care.Process.Kill(); _ = care.Wait() })
}

// serves is the certificate that the server shows.
func (s *real) serves(t *testing.T) []byte {
	t.Helper()
	connection, err := tls.DialWithDialer(&net.Dialer{}, "tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true}) // it is compared
	require.NoError(t, err)
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0].Raw
}

// vaultValues are those of IT/vault.
type vaultValues struct {
	Vault struct {
		Server struct {
			ExtraContainers []struct {
				Name string
				Args []string
			} `yaml:"extraContainers"`
		}
	}
}

// argsOf are the arguments of a container beside the server.
func argsOf(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile("../../IT/vault/values.yaml")
	require.NoError(t, err)
	var values vaultValues
	require.NoError(t, yaml.Unmarshal(text, &values))
	for _, c := range values.Vault.Server.ExtraContainers {
		if c.Name == name {
			return c.Args
		}
	}
	require.Fail(t, "no such container", name)
	return nil
}

func caretaker(t *testing.T) string { return argsOf(t, "caretaker")[0] }

// The unsealer reads the keys from where they are kept, and as many as there are; the caretaker moves the log that is written.
func TestTheContainersBesideTheServerAgreeWithTheDeclaration(t *testing.T) {
	d, err := platform.ReadSecrets(os.DirFS("../.."), "IT/vault/secrets.yaml")
	require.NoError(t, err)
	keys := d.Server.UnsealKeys
	require.Equal(t, keys.Name+"-", keys.Key, "the unsealer's way to name keys: <Secret>-<number>")
	for _, argument := range []string{
		"--k8s-secret-namespace=" + keys.Namespace, "--k8s-secret-name=" + keys.Name,
		fmt.Sprintf("--secret-shares=%d", d.Server.Shares), fmt.Sprintf("--secret-threshold=%d", d.Server.Threshold),
	} {
		require.Contains(t, argsOf(t, "unsealer"), argument)
	}
	require.Contains(t, caretaker(t), "log="+d.Audit+"\n")
}

// Several keys, of which some are enough.
func TestShares(t *testing.T) {
	binary := os.Getenv(binaryVariable)
	if binary == "" {
		t.Skipf("%s is not set: the stand-in makes one key", binaryVariable)
	}
	s := startReal(t, binary, onFiles)
	b := s.bench(t)
	store := b.store(small)
	store.Declared.Server.Shares, store.Declared.Server.Threshold = 3, 2
	_, err := store.Reconcile(t.Context())
	require.NoError(t, err)
	require.Len(t, b.state.Keys, 3)
	before := b.seen("a/admin")
	s.Restart(t)
	_, err = store.Reconcile(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, b.seen("a/admin"))
}
