package lint

import (
	"fmt"
	"time"
)

const (
	certificatesGroup = "cert-manager.io"
	// defaultLifetime is cert-manager's, of which a third is left when it renews.
	defaultLifetime = 2160 * time.Hour
	// certificatesNamespace holds the Secrets that a ClusterIssuer signs with.
	certificatesNamespace = "cert-manager"
)

// certificateLifetime: what is signed on the day before its authority is renewed is good only as long as that authority's former
// certificate, and ends with it, at once with everything else that it has signed. Where the authority keeps its key, its new certificate
// speaks for what it signed before.
func certificateLifetime(w *world, report report) {
	for _, o := range w.objects {
		if !o.is(certificatesGroup, "Certificate") {
			continue
		}
		authority := w.authorityOf(o)
		if authority == nil || authority == o {
			continue
		}
		own, left := lifetime(o), renewsBefore(authority)
		if authority.text("spec", "privateKey", "rotationPolicy") == "Never" {
			left = lifetime(authority)
		}
		if own > left {
			report(o, fmt.Sprintf("it lasts %s, and the authority %s may end %s after it was signed", own, authority.GetName(), left),
				"shorten its duration, lengthen the authority's renewBefore, or let the authority keep its key (rotationPolicy: Never)")
		}
	}
}

// authorityOf is the Certificate of who signs one; nil where the issuer signs with something else.
func (w *world) authorityOf(o *object) *object {
	kind, namespace := textOr(o.text("spec", "issuerRef", "kind"), "Issuer"), o.namespace
	if kind == "ClusterIssuer" {
		namespace = ""
	}
	issuer := w.find(certificatesGroup, kind, namespace, o.text("spec", "issuerRef", "name"))
	if issuer == nil {
		return nil
	}
	secret := issuer.text("spec", "ca", "secretName")
	if namespace == "" {
		namespace = certificatesNamespace
	}
	for _, c := range w.objects {
		if secret != "" && c.is(certificatesGroup, "Certificate") && c.namespace == namespace && c.text("spec", "secretName") == secret {
			return c
		}
	}
	return nil
}

func lifetime(certificate *object) time.Duration {
	if d, err := time.ParseDuration(certificate.text("spec", "duration")); err == nil {
		return d
	}
	return defaultLifetime
}

func renewsBefore(certificate *object) time.Duration {
	if d, err := time.ParseDuration(certificate.text("spec", "renewBefore")); err == nil {
		return d
	}
	return lifetime(certificate) / 3
}
