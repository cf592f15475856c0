// Package pki makes the certificates of one embedded cluster: a certificate authority of its own, and for every identity a
// certificate that says who it is. Keys are ECDSA P-256 and lie in files that only this user can read.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	renewBefore   = 30 * 24 * time.Hour
	clockSkew     = time.Hour
)

// Identity is what a certificate says.
type Identity struct {
	Name   string   // common name: the user, for a client certificate
	Groups []string // organisations: the user's groups
	Server []string // DNS names and IP addresses; empty for a client certificate
}

// Authority signs certificates. Its own certificate and key are <name>.crt and <name>.key of its folder.
type Authority struct {
	dir, name string
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

// Open loads the authority called name from dir, or makes it.
func Open(dir, name string) (*Authority, error) {
	a := &Authority{dir: dir, name: name}
	cert, key, err := load(a.path(".crt"), a.path(".key"))
	if err == nil {
		a.cert, a.key = cert, key
		return a, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("certificate authority %s: %w", name, err)
	}
	template, err := newTemplate(Identity{Name: name}, authorityLife)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	key, err = NewKey()
	if err != nil {
		return nil, err
	}
	a.key = key
	a.cert, err = a.sign(template, template, key, a.path(".crt"), a.path(".key"))
	if err != nil {
		return nil, err
	}
	return a, nil
}

// CertFile is the authority's own certificate.
func (a *Authority) CertFile() string { return a.path(".crt") }

// KeyFile is the authority's key.
func (a *Authority) KeyFile() string { return a.path(".key") }

// CertPEM is the authority's own certificate.
func (a *Authority) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Issue makes <file>.crt and <file>.key in the authority's folder for id and returns their paths. A pair that still fits id
// for 30 days is kept.
func (a *Authority) Issue(file string, id Identity) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(a.dir, file+".crt"), filepath.Join(a.dir, file+".key")
	if cert, _, err := load(certFile, keyFile); err == nil && a.fits(cert, id) {
		return certFile, keyFile, nil
	}
	template, err := newTemplate(id, leafLife)
	if err != nil {
		return "", "", err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(id.Server) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	key, err := NewKey()
	if err != nil {
		return "", "", err
	}
	if _, err := a.sign(template, a.cert, key, certFile, keyFile); err != nil {
		return "", "", fmt.Errorf("certificate of %s: %w", id.Name, err)
	}
	return certFile, keyFile, nil
}

// NewKey makes a private key.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return key, nil
}

// KeyPair makes a key that signs tokens, and its public half, as <file>.key and <file>.pub of dir. A pair that exists is kept.
func KeyPair(dir, file string) (privateFile, publicFile string, err error) {
	privateFile, publicFile = filepath.Join(dir, file+".key"), filepath.Join(dir, file+".pub")
	if _, err := os.Stat(publicFile); err == nil {
		return privateFile, publicFile, nil
	}
	key, err := NewKey()
	if err != nil {
		return "", "", err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", "", fmt.Errorf("encoding %s: %w", publicFile, err)
	}
	if err := writeKey(privateFile, key); err != nil {
		return "", "", err
	}
	// Last, because its existence says that both are there.
	return privateFile, publicFile, writePEM(publicFile, "PUBLIC KEY", public)
}

func (a *Authority) path(suffix string) string { return filepath.Join(a.dir, a.name+suffix) }

func (a *Authority) fits(cert *x509.Certificate, id Identity) bool {
	dns, ips := split(id.Server)
	return cert.CheckSignatureFrom(a.cert) == nil &&
		time.Until(cert.NotAfter) > renewBefore &&
		cert.Subject.CommonName == id.Name &&
		slices.Equal(cert.Subject.Organization, id.Groups) &&
		slices.Equal(cert.DNSNames, dns) &&
		slices.EqualFunc(cert.IPAddresses, ips, net.IP.Equal)
}

func (a *Authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if err := writeKey(keyFile, key); err != nil {
		return nil, err
	}
	if err := writePEM(certFile, "CERTIFICATE", der); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func newTemplate(id Identity, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: serial number: %w", id.Name, err)
	}
	dns, ips := split(id.Server)
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.Name, Organization: id.Groups},
		NotBefore:    now.Add(-clockSkew),
		NotAfter:     now.Add(life),
		DNSNames:     dns,
		IPAddresses:  ips,
	}, nil
}

func split(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			ips = append(ips, ip)
			continue
		}
		dns = append(dns, name)
	}
	return dns, ips
}

func load(certFile, keyFile string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("%s and %s: not PEM files", certFile, keyFile)
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", certFile, err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s does not belong to %s: %w", keyFile, certFile, fs.ErrNotExist)
	}
	return cert, key, nil
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", file, err)
	}
	return writePEM(file, "EC PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
