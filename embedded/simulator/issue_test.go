package simulator

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func authorityOf(t *testing.T, data map[string][]byte) *authority {
	t.Helper()
	pair, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"])
	require.NoError(t, err)
	ca, err := newAuthority(pair)
	require.NoError(t, err)
	return ca
}

func TestIssueChain(t *testing.T) {
	now := time.Now()
	root, err := certificateSpec{CommonName: "root", IsCA: true, Duration: "8760h"}.issue(issuer{}, nil, now)
	require.NoError(t, err)
	spec := certificateSpec{DNSNames: []string{"a.example", "*.b.example"}, IPAddresses: []string{"10.0.0.1"}, Usages: []string{"server auth"}}
	leaf, err := spec.issue(issuer{authorityOf(t, root.data)}, nil, now)
	require.NoError(t, err)

	require.Equal(t, root.data["tls.crt"], leaf.data["ca.crt"])
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(leaf.data["ca.crt"]))
	for _, name := range []string{"a.example", "x.b.example", "10.0.0.1"} {
		_, err = leaf.cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots})
		require.NoError(t, err, name)
	}
	require.Equal(t, 90*24*time.Hour, leaf.cert.NotAfter.Sub(leaf.cert.NotBefore))
	require.Equal(t, leaf.cert.NotAfter.Add(-30*24*time.Hour), leaf.renewal)
}

func TestIssueKeeps(t *testing.T) {
	now := time.Now()
	spec := certificateSpec{DNSNames: []string{"a.example"}, Duration: "90h"}
	ca, other := issuer{testAuthority(t)}, issuer{testAuthority(t)}
	tests := map[string]struct {
		first, second issuer
		change        func(*certificateSpec)
		at            time.Duration
		kept, sameKey bool
	}{
		"nothing changed":       {first: ca, second: ca, kept: true},
		"self-signed":           {kept: true},
		"one name more":         {first: ca, second: ca, change: func(s *certificateSpec) { s.DNSNames = []string{"a.example", "b.example"} }},
		"another duration":      {first: ca, second: ca, change: func(s *certificateSpec) { s.Duration = "91h" }},
		"a CA now":              {first: ca, second: ca, change: func(s *certificateSpec) { s.IsCA = true }},
		"another issuer":        {first: ca, second: other},
		"from self-signed":      {second: ca},
		"to self-signed":        {first: ca},
		"before renewal":        {first: ca, second: ca, at: 59 * time.Hour, kept: true},
		"due for renewal":       {first: ca, second: ca, at: 61 * time.Hour},
		"renewed with its key":  {first: ca, second: ca, at: 61 * time.Hour, change: func(s *certificateSpec) { s.PrivateKey.RotationPolicy = "Never" }, sameKey: true},
		"renewBefore asks more": {first: ca, second: ca, at: 41 * time.Hour, change: func(s *certificateSpec) { s.RenewBefore = "50h" }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			first, err := spec.issue(tt.first, nil, now)
			require.NoError(t, err)
			changed := spec
			if tt.change != nil {
				tt.change(&changed)
			}
			second, err := changed.issue(tt.second, first.data, now.Add(tt.at))
			require.NoError(t, err)
			require.Equal(t, tt.kept, string(first.data["tls.crt"]) == string(second.data["tls.crt"]))
			require.Equal(t, tt.kept || tt.sameKey, string(first.data["tls.key"]) == string(second.data["tls.key"]))
		})
	}
}

func TestIssueKeys(t *testing.T) {
	tests := map[string]struct {
		algorithm, encoding, block string
		key                        any
	}{
		"default":       {"", "", "EC PRIVATE KEY", &ecdsa.PrivateKey{}},
		"RSA":           {"RSA", "", "RSA PRIVATE KEY", &rsa.PrivateKey{}},
		"ECDSA, PKCS#8": {"ECDSA", "PKCS8", "PRIVATE KEY", &ecdsa.PrivateKey{}},
		"Ed25519":       {"Ed25519", "", "PRIVATE KEY", ed25519.PrivateKey{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			spec := certificateSpec{DNSNames: []string{"a"}}
			spec.PrivateKey.Algorithm, spec.PrivateKey.Encoding = tt.algorithm, tt.encoding
			got, err := spec.issue(issuer{}, nil, time.Now())
			require.NoError(t, err)
			block, _ := pem.Decode(got.data["tls.key"])
			require.Equal(t, tt.block, block.Type)
			pair, err := tls.X509KeyPair(got.data["tls.crt"], got.data["tls.key"])
			require.NoError(t, err)
			require.IsType(t, tt.key, pair.PrivateKey)
		})
	}
}

func TestIssueRefuses(t *testing.T) {
	_, err := certificateSpec{IPAddresses: []string{"ten"}}.issue(issuer{}, nil, time.Now())
	require.ErrorContains(t, err, `spec.ipAddresses: "ten" isn't an address`)
}

func TestIssuerOf(t *testing.T) {
	fallback := testAuthority(t)
	signing, err := certificateSpec{CommonName: "platform CA", IsCA: true}.issue(issuer{}, nil, time.Now())
	require.NoError(t, err)
	leaf, err := certificateSpec{CommonName: "no CA"}.issue(issuer{}, nil, time.Now())
	require.NoError(t, err)
	secrets := map[string]map[string][]byte{"team/ca": signing.data, "cert-manager/ca": signing.data, "team/leaf": leaf.data}
	secret := func(namespace, name string) (map[string][]byte, error) { return secrets[namespace+"/"+name], nil }
	object := func(namespace string, spec map[string]any) map[string]any {
		meta := map[string]any{"name": "i"}
		if namespace != "" {
			meta["namespace"] = namespace
		}
		return map[string]any{"metadata": meta, "spec": spec}
	}
	tests := map[string]struct {
		object map[string]any
		want   string // common name of who signs; "" for the certificate itself
		err    string
	}{
		"self-signed":           {object: object("team", map[string]any{"selfSigned": map[string]any{}})},
		"CA":                    {object: object("team", map[string]any{"ca": map[string]any{"secretName": "ca"}}), want: "platform CA"},
		"CA of a ClusterIssuer": {object: object("", map[string]any{"ca": map[string]any{"secretName": "ca"}}), want: "platform CA"},
		"ACME":                  {object: object("team", map[string]any{"acme": map[string]any{}}), want: authorityName},
		"CA without a Secret":   {object: object("team", map[string]any{"ca": map[string]any{"secretName": "gone"}}), err: "signing CA in Secret team/gone"},
		"CA that is none":       {object: object("team", map[string]any{"ca": map[string]any{"secretName": "leaf"}}), err: `certificate "no CA" isn't a CA's`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := issuerOf(tt.object, secret, fallback)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			if tt.want == "" {
				require.Nil(t, got.ca)
				return
			}
			require.Equal(t, tt.want, got.ca.cert.Subject.CommonName)
		})
	}
}

func TestSignRequest(t *testing.T) {
	ca := testAuthority(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "me"}, DNSNames: []string{"me.example"}}, key)
	require.NoError(t, err)
	spec := map[string]any{"request": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), "usages": []any{"client auth"}}

	cert, bundle, err := signRequest(issuer{ca}, spec, time.Now())
	require.NoError(t, err)
	require.Equal(t, ca.bundle, bundle)
	parsed := parseCertificates(cert)[0]
	require.Equal(t, []string{"me.example"}, parsed.DNSNames)
	require.NoError(t, parsed.CheckSignatureFrom(ca.cert))

	_, _, err = signRequest(issuer{}, spec, time.Now())
	require.ErrorContains(t, err, "self-signed issuer")
	_, _, err = signRequest(issuer{ca}, map[string]any{"request": []byte("no PEM")}, time.Now())
	require.ErrorContains(t, err, "holds no PEM block")
}
