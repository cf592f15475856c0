package simulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// certificateSpec is the part of a cert-manager Certificate's spec that shapes the certificate.
type certificateSpec struct {
	SecretName  string   `json:"secretName"`
	CommonName  string   `json:"commonName"`
	DNSNames    []string `json:"dnsNames"`
	IPAddresses []string `json:"ipAddresses"`
	URIs        []string `json:"uris"`
	Emails      []string `json:"emailAddresses"`
	IsCA        bool     `json:"isCA"`
	Duration    string   `json:"duration"`    // a Go duration; 90 days by default
	RenewBefore string   `json:"renewBefore"` // a third of the duration by default
	Usages      []string `json:"usages"`
	Subject     struct {
		Organizations []string `json:"organizations"`
		Units         []string `json:"organizationalUnits"`
		Countries     []string `json:"countries"`
	} `json:"subject"`
	PrivateKey struct {
		Algorithm      string `json:"algorithm"`
		Encoding       string `json:"encoding"`
		Size           int    `json:"size"`
		RotationPolicy string `json:"rotationPolicy"`
	} `json:"privateKey"`
}

// issuer signs certificates. A nil authority signs with the certificate's own key.
type issuer struct{ ca *authority }

func (s certificateSpec) duration() time.Duration {
	if d, err := time.ParseDuration(s.Duration); err == nil && d > 0 {
		return d
	}
	return 90 * 24 * time.Hour
}

// renewal is when a certificate is due to be issued again.
func (s certificateSpec) renewal(cert *x509.Certificate) time.Time {
	before := cert.NotAfter.Sub(cert.NotBefore) / 3
	if d, err := time.ParseDuration(s.RenewBefore); err == nil && d > 0 && d < cert.NotAfter.Sub(cert.NotBefore) {
		before = d
	}
	return cert.NotAfter.Add(-before)
}

// issued is what a Certificate's Secret and status say.
type issued struct {
	data    map[string][]byte
	cert    *x509.Certificate
	renewal time.Time
}

// issue keeps what the Secret holds if the spec, the issuer and the clock allow it, and issues anew otherwise.
func (s certificateSpec) issue(by issuer, secret map[string][]byte, now time.Time) (issued, error) {
	if kept, ok := s.keep(by, secret, now); ok {
		return kept, nil
	}
	key, err := s.key(secret)
	if err != nil {
		return issued{}, err
	}
	template, err := s.template(now)
	if err != nil {
		return issued{}, err
	}
	parent, signer, ca := template, key, []byte(nil)
	if by.ca != nil {
		parent, signer, ca = by.ca.cert, by.ca.key, by.ca.bundle
	}
	der, err := signCertificate(template, parent, key.Public(), signer)
	if err != nil {
		return issued{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return issued{}, fmt.Errorf("parse the new certificate: %w", err)
	}
	keyPEM, err := encodeAs(key, s.PrivateKey.Encoding)
	if err != nil {
		return issued{}, err
	}
	if ca == nil {
		ca = encodeCertificate(der)
	}
	data := map[string][]byte{"tls.crt": encodeCertificate(der), "tls.key": keyPEM, "ca.crt": ca}
	return issued{data: data, cert: cert, renewal: s.renewal(cert)}, nil
}

// keep returns the Secret's certificate while it is what the spec asks for, the issuer's and not due.
func (s certificateSpec) keep(by issuer, secret map[string][]byte, now time.Time) (issued, bool) {
	pair, err := tls.X509KeyPair(secret["tls.crt"], secret["tls.key"])
	if err != nil {
		return issued{}, false
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return issued{}, false
	}
	template, err := s.template(now)
	if err != nil {
		return issued{}, false
	}
	same := cert.Subject.CommonName == template.Subject.CommonName && cert.IsCA == template.IsCA &&
		sameSet(cert.DNSNames, template.DNSNames) && sameSet(cert.EmailAddresses, template.EmailAddresses) &&
		sameSet(texts(cert.IPAddresses), texts(template.IPAddresses)) && sameSet(texts(cert.URIs), texts(template.URIs)) &&
		cert.NotAfter.Sub(cert.NotBefore) == template.NotAfter.Sub(template.NotBefore)
	parent := cert
	if by.ca != nil {
		parent = by.ca.cert
	}
	if !same || cert.CheckSignatureFrom(parent) != nil && !(by.ca == nil && selfSigned(cert)) || now.After(s.renewal(cert)) {
		return issued{}, false
	}
	return issued{data: secret, cert: cert, renewal: s.renewal(cert)}, true
}

// selfSigned also takes a certificate that may not sign others.
func selfSigned(cert *x509.Certificate) bool {
	return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

// key is the Secret's own key where the rotation policy keeps it, or a new one.
func (s certificateSpec) key(secret map[string][]byte) (crypto.Signer, error) {
	if s.PrivateKey.RotationPolicy == "Never" {
		if pair, err := tls.X509KeyPair(secret["tls.crt"], secret["tls.key"]); err == nil {
			if key, ok := pair.PrivateKey.(crypto.Signer); ok {
				return key, nil
			}
		}
	}
	var key crypto.Signer
	var err error
	switch s.PrivateKey.Algorithm {
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, max(2048, s.PrivateKey.Size))
	case "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default: // cert-manager's own default is RSA; where nobody asked for it, the cheaper key will do
		curve := map[int]elliptic.Curve{384: elliptic.P384(), 521: elliptic.P521()}[s.PrivateKey.Size]
		if curve == nil {
			curve = elliptic.P256()
		}
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	}
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	return key, nil
}

func encodeAs(key crypto.Signer, encoding string) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if encoding != "PKCS8" {
			return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
		}
	case *ecdsa.PrivateKey:
		if encoding != "PKCS8" {
			der, err := x509.MarshalECPrivateKey(k)
			if err != nil {
				return nil, fmt.Errorf("encode a private key: %w", err)
			}
			return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
		}
	}
	return encodeKey(key)
}

func (s certificateSpec) template(now time.Time) (*x509.Certificate, error) {
	now = now.UTC().Truncate(time.Second)
	t := &x509.Certificate{
		Subject: pkix.Name{
			CommonName: s.CommonName, Organization: s.Subject.Organizations,
			OrganizationalUnit: s.Subject.Units, Country: s.Subject.Countries,
		},
		NotBefore: now, NotAfter: now.Add(s.duration()),
		DNSNames: s.DNSNames, EmailAddresses: s.Emails,
		IsCA: s.IsCA, BasicConstraintsValid: true,
	}
	for _, text := range s.IPAddresses {
		ip := net.ParseIP(text)
		if ip == nil {
			return nil, fmt.Errorf("spec.ipAddresses: %q isn't an address", text)
		}
		t.IPAddresses = append(t.IPAddresses, ip)
	}
	for _, text := range s.URIs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("spec.uris: %w", err)
		}
		t.URIs = append(t.URIs, u)
	}
	t.KeyUsage, t.ExtKeyUsage = usages(s.Usages)
	if s.IsCA {
		t.KeyUsage |= x509.KeyUsageCertSign
	}
	return t, nil
}

// usages translates cert-manager's names; without any a certificate may sign and encipher.
func usages(names []string) (x509.KeyUsage, []x509.ExtKeyUsage) {
	if len(names) == 0 {
		return x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, nil
	}
	plain := map[string]x509.KeyUsage{
		"signing": x509.KeyUsageDigitalSignature, "digital signature": x509.KeyUsageDigitalSignature,
		"content commitment": x509.KeyUsageContentCommitment, "key encipherment": x509.KeyUsageKeyEncipherment,
		"data encipherment": x509.KeyUsageDataEncipherment, "key agreement": x509.KeyUsageKeyAgreement,
		"cert sign": x509.KeyUsageCertSign, "crl sign": x509.KeyUsageCRLSign,
	}
	extended := map[string]x509.ExtKeyUsage{
		"any": x509.ExtKeyUsageAny, "server auth": x509.ExtKeyUsageServerAuth, "client auth": x509.ExtKeyUsageClientAuth,
		"code signing": x509.ExtKeyUsageCodeSigning, "email protection": x509.ExtKeyUsageEmailProtection,
		"timestamping": x509.ExtKeyUsageTimeStamping, "ocsp signing": x509.ExtKeyUsageOCSPSigning,
	}
	var usage x509.KeyUsage
	var ext []x509.ExtKeyUsage
	for _, n := range names {
		usage |= plain[n]
		if e, ok := extended[n]; ok {
			ext = append(ext, e)
		}
	}
	return usage, ext
}

// issuerOf resolves an Issuer or ClusterIssuer object: its own CA's Secret where it names one, itself where it is self-signed,
// the simulation's CA for everything that would be asked over a network.
func issuerOf(object map[string]any, secret func(namespace, name string) (map[string][]byte, error), fallback *authority) (issuer, error) {
	spec, _ := object["spec"].(map[string]any)
	if _, ok := spec["selfSigned"]; ok {
		return issuer{}, nil
	}
	ca, ok := spec["ca"].(map[string]any)
	if !ok {
		return issuer{fallback}, nil
	}
	name, _ := ca["secretName"].(string)
	meta, _ := object["metadata"].(map[string]any)
	namespace, _ := meta["namespace"].(string)
	if namespace == "" {
		namespace = "cert-manager" // where a ClusterIssuer's Secrets are, unless its controller is told otherwise
	}
	data, err := secret(namespace, name)
	if err != nil {
		return issuer{}, err
	}
	pair, err := tls.X509KeyPair(data["tls.crt"], data["tls.key"])
	if err != nil {
		return issuer{}, fmt.Errorf("signing CA in Secret %s/%s: %w", namespace, name, err)
	}
	signing, err := newAuthority(pair)
	if err != nil {
		return issuer{}, fmt.Errorf("signing CA in Secret %s/%s: %w", namespace, name, err)
	}
	return issuer{signing}, nil
}

// signRequest answers a CertificateRequest: the certificate and its CA, both PEM.
func signRequest(by issuer, spec map[string]any, now time.Time) (cert, ca []byte, err error) {
	var s struct {
		Request  []byte   `json:"request"`
		Duration string   `json:"duration"`
		IsCA     bool     `json:"isCA"`
		Usages   []string `json:"usages"`
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return nil, nil, fmt.Errorf("read the CertificateRequest: %w", err)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, nil, fmt.Errorf("read the CertificateRequest: %w", err)
	}
	block, _ := pem.Decode(s.Request)
	if block == nil {
		return nil, nil, fmt.Errorf("spec.request holds no PEM block")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("spec.request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, nil, fmt.Errorf("spec.request: %w", err)
	}
	if by.ca == nil {
		return nil, nil, fmt.Errorf("a self-signed issuer needs the requester's private key, which only its controller reads")
	}
	template, err := certificateSpec{Duration: s.Duration, IsCA: s.IsCA, Usages: s.Usages}.template(now)
	if err != nil {
		return nil, nil, err
	}
	template.Subject, template.DNSNames, template.IPAddresses = csr.Subject, csr.DNSNames, csr.IPAddresses
	template.URIs, template.EmailAddresses = csr.URIs, csr.EmailAddresses
	der, err := signCertificate(template, by.ca.cert, csr.PublicKey, by.ca.key)
	if err != nil {
		return nil, nil, err
	}
	return encodeCertificate(der), by.ca.bundle, nil
}

// into reads a part of an object into a typed value.
func into(part any, to any) error {
	raw, err := json.Marshal(part)
	if err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("read the object: %w", err)
	}
	return nil
}

// encodeData encodes a Secret's values as its JSON form has them.
func encodeData(data map[string][]byte) map[string]any {
	out := map[string]any{}
	for k, v := range data {
		out[k] = base64.StdEncoding.EncodeToString(v)
	}
	return out
}

// decodeData is the way back; values that aren't base64 are left out.
func decodeData(object map[string]any) map[string][]byte {
	data, _ := object["data"].(map[string]any)
	out := map[string][]byte{}
	for k, v := range data {
		if s, ok := v.(string); ok {
			if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s)); err == nil {
				out[k] = raw
			}
		}
	}
	return out
}
