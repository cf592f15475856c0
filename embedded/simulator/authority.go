package simulator

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// authorityName is the subject of the simulation's CA; a bundle of another cluster's simulation is recognised by it.
const authorityName = "idp simulation CA"

// authority is the simulation's own certificate authority. Whatever the simulator serves or issues hangs from it, so that one
// bundle in a webhook's or APIService's caBundle covers every stand-in.
type authority struct {
	cert   *x509.Certificate
	key    crypto.Signer
	bundle []byte // PEM

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// openAuthority reads ca.crt and ca.key from dir, and makes both when either is missing, damaged or about to expire: nothing
// but caBundles depends on them, and those are rewritten at start.
func openAuthority(dir string) (*authority, error) {
	a, err := readAuthority(dir)
	if err == nil && time.Until(a.cert.NotAfter) > 30*24*time.Hour {
		return a, nil
	}
	if mkErr := os.MkdirAll(dir, 0o700); mkErr != nil {
		return nil, fmt.Errorf("create the simulation CA's folder: %w", mkErr)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the simulation CA's key: %w", err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: authorityName, OrganizationalUnit: []string{"simulated"}},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(10, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := signCertificate(template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the simulation CA: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	// The key first: a crash between the two leaves a pair that doesn't match, and that is made anew.
	if err := writeFile(filepath.Join(dir, "ca.key"), keyPEM, 0o600); err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, "ca.crt"), encodeCertificate(der), 0o644); err != nil {
		return nil, err
	}
	return readAuthority(dir)
}

func readAuthority(dir string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, fmt.Errorf("read the simulation CA: %w", err)
	}
	return newAuthority(pair)
}

// newAuthority wraps a key pair whose certificate may sign others.
func newAuthority(pair tls.Certificate) (*authority, error) {
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parse a CA certificate: %w", err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key of CA %q can't sign", cert.Subject.CommonName)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("certificate %q isn't a CA's", cert.Subject.CommonName)
	}
	return &authority{cert: cert, key: signer, bundle: encodeCertificate(cert.Raw), leaves: map[string]*tls.Certificate{}}, nil
}

// Leaf returns the serving certificate for a DNS name or an IP address, made on first use.
func (a *authority) Leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.leaves[host]; ok {
		return c, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate the key of %s: %w", host, err)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: host, OrganizationalUnit: []string{"simulated"}},
		NotBefore:   time.Now().Add(-time.Hour),
		NotAfter:    a.cert.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(host) > 64 {
		template.Subject.CommonName = "" // longer than X.509 lets a common name be; the DNS name below is what counts
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := signCertificate(template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", host, err)
	}
	c := &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
	a.leaves[host] = c
	return c, nil
}

// Covers reports whether a PEM bundle trusts this CA.
func (a *authority) Covers(bundle []byte) bool {
	for _, c := range parseCertificates(bundle) {
		if bytes.Equal(c.Raw, a.cert.Raw) {
			return true
		}
	}
	return false
}

// isSimulation reports whether every certificate of a PEM bundle is some simulation's CA: that of another cluster, whose
// snapshot this one was started from.
func isSimulation(bundle []byte) bool {
	certs := parseCertificates(bundle)
	for _, c := range certs {
		if c.Subject.CommonName != authorityName {
			return false
		}
	}
	return len(certs) > 0
}

func signCertificate(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return der, nil
}

// parseCertificates returns the certificates of a PEM text, skipping what isn't one.
func parseCertificates(text []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return out
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			out = append(out, c)
		}
	}
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// writeFile writes beside the file and renames, so that a reader never sees half of it.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, writeErr := f.Write(data)
	if err := errors.Join(writeErr, f.Chmod(mode), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
