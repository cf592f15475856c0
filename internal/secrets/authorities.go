package secrets

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Authority is one that the platform trusts, with what it has signed and is in use.
type Authority struct {
	Name    string    `json:"name"`
	Expires time.Time `json:"expires"`
	Signed  []string  `json:"signed"` // <namespace>/<Certificate>
}

// issuedAs is cert-manager's annotation of a Secret: the Certificate that it is made for.
const issuedAs = "cert-manager.io/certificate-name"

// Authorities are those that the platform trusts. One that has signed nothing that is in use can go.
func (k *Kube) Authorities(ctx context.Context) ([]Authority, error) {
	trusted, err := k.Certificate(ctx)
	if err != nil {
		return nil, err
	}
	certificates := parsePEM(trusted)
	authorities := make([]Authority, len(certificates))
	for i, c := range certificates {
		authorities[i] = Authority{Name: c.Subject.CommonName, Expires: c.NotAfter, Signed: []string{}}
	}
	secrets, err := k.client.CoreV1().Secrets(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeTLS)})
	if err != nil {
		return nil, fmt.Errorf("listing the certificates: %w", err)
	}
	for _, s := range secrets.Items {
		chain := parsePEM(s.Data[corev1.TLSCertKey])
		if s.Annotations[issuedAs] == "" || len(chain) == 0 {
			continue
		}
		for i, authority := range certificates {
			if !chain[0].Equal(authority) && chain[0].CheckSignatureFrom(authority) == nil {
				authorities[i].Signed = append(authorities[i].Signed, s.Namespace+"/"+s.Annotations[issuedAs])
			}
		}
	}
	for _, a := range authorities {
		slices.Sort(a.Signed)
	}
	slices.SortFunc(authorities, func(a, b Authority) int { return cmp.Or(a.Expires.Compare(b.Expires), cmp.Compare(a.Name, b.Name)) })
	return authorities, nil
}

// parsePEM gives the certificates that can be read.
func parsePEM(text []byte) (certificates []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, c)
		}
	}
	return certificates
}
