package secrets

import (
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// A server serves the certificate that it has read when it started, until it has expired. The reloader of IT/vault, run as it stands there
// but for its paths and its pause, makes it read the new one.
func TestARenewedCertificateIsServed(t *testing.T) {
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
	script := strings.NewReplacer("/vault/tls", s.dir, "sleep 30", "sleep 0.1", "-x vault", "-x "+name).Replace(reloader(t))
	require.Contains(t, script, "-x "+name)
	reload := exec.Command("/bin/sh", "-ec", script)
	require.NoError(t, reload.Start())
	t.Cleanup(func() { _ = reload.Process.Kill(); _ = reload.Wait() })
	own, _ := certificate(t, "127.0.0.1")
	s.writeCertificate(t, own)
	require.True(t, assertSoon(func() bool { return slices.Equal(s.serves(t), own.Certificate[0]) }), "the server goes on with its old certificate")
}

// serves is the certificate that the server shows.
func (s *real) serves(t *testing.T) []byte {
	t.Helper()
	connection, err := tls.DialWithDialer(&net.Dialer{}, "tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true}) // it is compared
	require.NoError(t, err)
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0].Raw
}

// reloader is the script of the container beside the server.
func reloader(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../IT/vault/values.yaml")
	require.NoError(t, err)
	var values struct {
		Vault struct {
			Server struct {
				ExtraContainers []struct {
					Name string
					Args []string
				} `yaml:"extraContainers"`
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &values))
	for _, c := range values.Vault.Server.ExtraContainers {
		if c.Name == "reloader" {
			return c.Args[0]
		}
	}
	require.Fail(t, "there is no reloader")
	return ""
}
