package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// ObjectError is an object that the cluster does not take.
type ObjectError struct {
	Object    ObjectRef
	Component string // the folder that the object was rendered from
	Err       error
}

// Error names the object, where it comes from, what the API server says, and where it is known what to do.
func (e *ObjectError) Error() string {
	text := e.Object.String()
	if e.Component != "" {
		text += " (from " + e.Component + ")"
	}
	text += ": " + e.reason()
	if advice := adviceOn(e.Err); advice != "" {
		text += "; " + advice
	}
	return text
}

// reason is what the server says. Of a Secret it names the fields only, since it quotes what they hold.
func (e *ObjectError) reason() string {
	var status apierrors.APIStatus
	if e.Object.Kind != "Secret" || !errors.As(e.Err, &status) || status.Status().Details == nil {
		return brief(e.Err)
	}
	text := string(status.Status().Reason)
	for _, cause := range status.Status().Details.Causes {
		text += ", " + cause.Field
	}
	return text
}

// Unwrap is the API server's error.
func (e *ObjectError) Unwrap() error { return e.Err }

func adviceOn(err error) string {
	message := err.Error()
	switch {
	case meta.IsNoMatchError(err):
		return "add the layer that brings its CustomResourceDefinition to this layer's needs"
	case apierrors.IsNotFound(err) && strings.Contains(message, "namespaces"):
		return "add the layer that creates the namespace to this layer's needs"
	case strings.Contains(message, "field not declared in schema"):
		return "the kind has no such field: correct its name in the templates, or the version of the CustomResourceDefinition"
	case apierrors.IsUnauthorized(err):
		return "the credentials of this kubeconfig context are not valid (any more)"
	case apierrors.IsForbidden(err) && strings.Contains(message, "User "):
		return "the user of this kubeconfig context may not do this; use one that may administer the cluster"
	case apierrors.IsInvalid(err) && strings.Contains(message, "immutable"), strings.Contains(message, "updates to statefulset spec for fields"):
		return "a field that can't change did: annotate the object with " + annotationOptions + ": Replace=true,Force=true, or delete it and run again"
	}
	return ""
}

// TimeoutError is a wait that reached its bound. It says what was waited for and all that the cluster tells about it.
type TimeoutError struct {
	Waiting    string    // what was waited for
	Object     ObjectRef // on which object; without a name where there is none
	Last       error     // the last failed answer of the API server, nil where it only said "not yet"
	Conditions []string  // the object's conditions
	Events     []string  // its last events, oldest first
	Pods       []string  // for a workload: why its pods are not ready
	Advice     string
}

// Error is what to print: one line what, then one fact a line, then what to do.
func (e *TimeoutError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "timed out waiting for %s", e.Waiting)
	if e.Last != nil {
		fmt.Fprintf(&text, "\n  the API server says: %s", brief(e.Last))
	}
	section(&text, "conditions", e.Conditions)
	section(&text, "events", e.Events)
	section(&text, "pods", e.Pods)
	if e.Advice != "" {
		fmt.Fprintf(&text, "\n  to do: %s", e.Advice)
	}
	return text.String()
}

func section(text *strings.Builder, title string, lines []string) {
	for i, line := range lines {
		if i == 0 {
			fmt.Fprintf(text, "\n  %s:", title)
		}
		fmt.Fprintf(text, "\n    %s", line)
	}
}

// Unwrap lets errors.Is(err, context.DeadlineExceeded) tell a time-out from a failure.
func (e *TimeoutError) Unwrap() []error {
	return append([]error{context.DeadlineExceeded}, nonNil(e.Last)...)
}

func nonNil(errs ...error) []error {
	var found []error
	for _, err := range errs {
		if err != nil {
			found = append(found, err)
		}
	}
	return found
}

// ended says that an error is the end of the context rather than a fault of an object.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
