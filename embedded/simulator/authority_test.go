package simulator

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func testAuthority(t *testing.T) *authority {
	t.Helper()
	ca, err := openAuthority(t.TempDir())
	require.NoError(t, err)
	return ca
}

func TestOpenAuthority(t *testing.T) {
	damage := map[string]func(t *testing.T, dir string){
		"untouched":   func(*testing.T, string) {},
		"key missing": func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "ca.key"))) },
		"certificate damaged": func(t *testing.T, dir string) {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("-----BEGIN"), 0o600))
		},
		"key of another": func(t *testing.T, dir string) {
			other := t.TempDir()
			_, err := openAuthority(other)
			require.NoError(t, err)
			key, err := os.ReadFile(filepath.Join(other, "ca.key"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.key"), key, 0o600))
		},
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ca")
			first, err := openAuthority(dir)
			require.NoError(t, err)
			do(t, dir)
			second, err := openAuthority(dir)
			require.NoError(t, err)
			require.Equal(t, name == "untouched", string(first.bundle) == string(second.bundle))
			info, err := os.Stat(filepath.Join(dir, "ca.key"))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		})
	}
}

func TestLeaf(t *testing.T) {
	ca := testAuthority(t)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca.bundle))
	long := "a-service-whose-name-is-as-long-as-names-of-services-may-become.a-namespace.svc"
	for _, host := range []string{"hook.ns.svc", "10.96.0.7", long} {
		t.Run(host, func(t *testing.T) {
			leaf, err := ca.Leaf(host)
			require.NoError(t, err)
			cert, err := x509.ParseCertificate(leaf.Certificate[0])
			require.NoError(t, err)
			_, err = cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: time.Now()})
			require.NoError(t, err)
			require.LessOrEqual(t, len(cert.Subject.CommonName), 64, "X.509's bound on a common name")
			again, err := ca.Leaf(host)
			require.NoError(t, err)
			require.Same(t, leaf, again)
		})
	}
}

func TestBundles(t *testing.T) {
	ca, other := testAuthority(t), testAuthority(t)
	chart := chartAuthority(t)
	tests := map[string]struct {
		bundle             []byte
		covers, simulation bool
	}{
		"ours":               {ca.bundle, true, true},
		"ours among others":  {append(append([]byte{}, chart.bundle...), ca.bundle...), true, false},
		"another simulation": {other.bundle, false, true},
		"a chart's":          {chart.bundle, false, false},
		"empty":              {nil, false, false},
		"placeholder":        {[]byte("\n"), false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.covers, ca.Covers(tt.bundle))
			require.Equal(t, tt.simulation, isSimulation(tt.bundle))
		})
	}
}

// chartAuthority is a CA that isn't any simulation's.
func chartAuthority(t *testing.T) *authority {
	t.Helper()
	got, err := certificateSpec{CommonName: "chart CA", IsCA: true}.issue(issuer{}, nil, time.Now())
	require.NoError(t, err)
	return authorityOf(t, got.data)
}
