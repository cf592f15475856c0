package apply

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
)

// grace is how long an answer may be put down to a cluster that is still taking in what it was given a moment ago: a kind, a
// namespace, a service account.
const grace = 10 * time.Second

// graceAfterFault is the grace once a run has failed anyway, so that all faults are reported without a wait for each.
const graceAfterFault = time.Second

// verdict says what an error asks for.
type verdict int

const (
	fatal     verdict = iota // the request will never do: say so
	soon                     // it should do within the grace
	transient                // the cluster isn't able to answer: try until the time is up
)

// classify judges an answer of the API server, or the lack of one.
func classify(err error) verdict {
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return fatal
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return soon
	case strings.Contains(err.Error(), "field not declared in schema"):
		return soon // a 500 by its code; the schema of a kind that has just changed takes a moment to be known
	case isTerminating(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return transient
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err):
		return transient
	case serverSide(err), unreachable(err), discovery.IsGroupDiscoveryFailedError(err):
		return transient
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "error looking up service account"):
		return soon
	}
	return fatal
}

// Transient says that an error of the API server, or the lack of an answer, may pass when the same request is made again.
func Transient(err error) bool { return err != nil && classify(err) == transient }

// serverSide says that the server failed, which a webhook that doesn't answer shows as well (500, "failed calling webhook").
func serverSide(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= http.StatusInternalServerError
}

// unreachable says that there was no whole answer: the server is restarting, or the connection broke.
func unreachable(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || utilnet.IsProbableEOF(err) || utilnet.IsConnectionReset(err) ||
		utilnet.IsConnectionRefused(err) || utilnet.IsHTTP2ConnectionLost(err) || strings.Contains(err.Error(), "Please retry")
}

// isTerminating says that the namespace of an object is still being deleted.
func isTerminating(err error) bool {
	return apierrors.HasStatusCause(err, "NamespaceTerminating")
}

// pace is how long to wait between attempts: quick at first, since most waits are for something that is nearly there.
func pace() *wait.Backoff {
	return &wait.Backoff{Duration: 20 * time.Millisecond, Factor: 1.5, Steps: 100, Cap: 500 * time.Millisecond, Jitter: 0.1}
}

// pause waits; it says false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// until calls attempt until it has nothing left to wait for: it answers with an empty text, or with an error that waiting
// won't heal. Where the context ends first, the error is that of expired.
func (a *Applier) until(ctx context.Context, w waiting, attempt func(context.Context) (missing string, err error)) error {
	var last error
	patience := patience{grace: cmp.Or(w.grace, grace)}
	steps, said := pace(), ""
	for {
		missing, err := attempt(ctx)
		if err == nil && missing == "" {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			if patience.over(err) {
				return err
			}
			last, missing = err, brief(err)
		}
		if text := w.what + ": " + missing; text != said && ctx.Err() == nil {
			w.say(text)
			said = text
		}
		if !pause(ctx, steps.Step()) {
			return a.expired(ctx, w, last)
		}
	}
}

// patience is since when the answers have been of the kind that should pass soon.
type patience struct {
	grace time.Duration
	since time.Time
}

// over says that no more attempt is worth it.
func (p *patience) over(err error) bool {
	switch classify(err) {
	case fatal:
		return true
	case transient:
		p.since = time.Time{}
		return false
	}
	if p.since.IsZero() {
		p.since = time.Now()
	}
	return time.Since(p.since) > p.grace
}

// longest is how much of a server's message is worth reading; some quote the whole object.
const longest = 600

// brief is the server's message without client-go's frame around it, and without its middle where it is very long.
func brief(err error) string {
	text := err.Error()
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Reason != metav1.StatusReasonUnknown && status.Status().Message != "" {
		text = status.Status().Message
	}
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest/2]) + " … " + string(runes[len(runes)-longest/2:])
	}
	return text
}
