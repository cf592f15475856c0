package pki

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func read(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

func TestIssue(t *testing.T) {
	dir := t.TempDir()
	ca, err := Open(dir, "ca")
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca.CertPEM()))
	for file, c := range map[string]struct {
		id    Identity
		usage x509.ExtKeyUsage
		host  string
	}{
		"server": {id: Identity{Name: "kube-apiserver", Server: []string{"localhost", "127.0.0.1"}}, usage: x509.ExtKeyUsageServerAuth, host: "127.0.0.1"},
		"client": {id: Identity{Name: "admin", Groups: []string{"system:masters"}}, usage: x509.ExtKeyUsageClientAuth},
	} {
		t.Run(file, func(t *testing.T) {
			certFile, keyFile, err := ca.Issue(file, c.id)
			require.NoError(t, err)
			cert := read(t, certFile)
			_, err = cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{c.usage}, DNSName: c.host})
			require.NoError(t, err)
			require.Equal(t, c.id.Name, cert.Subject.CommonName)
			require.Equal(t, c.id.Groups, cert.Subject.Organization)
			require.Equal(t, []x509.ExtKeyUsage{c.usage}, cert.ExtKeyUsage, "a client certificate must not pass for a server's, nor the reverse")
			info, err := os.Stat(keyFile)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		})
	}
}

func TestWhatFitsIsKept(t *testing.T) {
	dir := t.TempDir()
	id := Identity{Name: "a", Groups: []string{"g"}, Server: []string{"localhost", "127.0.0.1"}}
	issue := func(id Identity) string {
		ca, err := Open(dir, "ca")
		require.NoError(t, err)
		certFile, _, err := ca.Issue("x", id)
		require.NoError(t, err)
		return read(t, certFile).SerialNumber.String()
	}
	first := issue(id)
	require.Equal(t, first, issue(id))
	for name, other := range map[string]Identity{
		"name":  {Name: "b", Groups: id.Groups, Server: id.Server},
		"group": {Name: "a", Groups: []string{"h"}, Server: id.Server},
		"host":  {Name: "a", Groups: id.Groups, Server: []string{"localhost", "127.0.0.2"}},
	} {
		before := issue(id)
		require.NotEqual(t, before, issue(other), name)
	}
	before := issue(id)
	require.NoError(t, os.Remove(filepath.Join(dir, "ca.key")))
	require.NotEqual(t, before, issue(id), "another authority's certificate is worth nothing")
}

func TestHalfWrittenPairsAreMadeAnew(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir, "ca")
	require.NoError(t, err)
	_, err = Open(dir, "other")
	require.NoError(t, err)
	// A crash between the key and the certificate.
	require.NoError(t, os.Rename(filepath.Join(dir, "other.key"), filepath.Join(dir, "ca.key")))
	_, err = Open(dir, "ca")
	require.NoError(t, err)
	_, _, err = load(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	require.NoError(t, err)
}

func TestKeyPairIsKept(t *testing.T) {
	dir := t.TempDir()
	private, public, err := KeyPair(dir, "tokens")
	require.NoError(t, err)
	before, err := os.ReadFile(private)
	require.NoError(t, err)
	_, _, err = KeyPair(dir, "tokens")
	require.NoError(t, err)
	after, err := os.ReadFile(private)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.FileExists(t, public)
}
