package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxReview bounds a review's body; the API server's own limit on an object is 3 MiB, and a review holds up to two.
const maxReview = 16 << 20

// responder answers in place of every server of the cluster network: it admits, converts by renaming the version, and serves
// the discovery of an aggregated API without resources. Anything else gets a 502 that says why.
type responder struct {
	ledger *ledger
	log    *slog.Logger
}

func (s *responder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _ := r.Context().Value(targetKey{}).(string)
	if r.TLS != nil && r.TLS.ServerName != "" {
		host = r.TLS.ServerName
	}
	switch {
	case r.Method == http.MethodPost && r.TLS != nil:
		s.review(w, r, host)
	case r.Method == http.MethodGet && r.TLS != nil && isDiscovery(r.URL.Path):
		s.discover(w, r, host)
	default:
		s.refuse(w, r, host)
	}
}

// refuse says that nobody is there.
func (s *responder) refuse(w http.ResponseWriter, r *http.Request, host string) {
	text := fmt.Sprintf("simulated: no container runs behind %s, so %s %s has no answer", host, r.Method, r.URL.Path)
	s.log.Debug("refused", "host", host, "method", r.Method, "path", r.URL.Path)
	http.Error(w, text, http.StatusBadGateway)
}

// review is what an AdmissionReview and a ConversionReview have in common, in v1 and v1beta1 alike.
type review struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Request    json.RawMessage `json:"request,omitempty"`
	Response   any             `json:"response,omitempty"`
}

func (s *responder) review(w http.ResponseWriter, r *http.Request, host string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	if err != nil {
		http.Error(w, "simulated: read the review: "+err.Error(), http.StatusBadRequest)
		return
	}
	var in review
	if err := json.Unmarshal(body, &in); err != nil {
		s.refuse(w, r, host)
		return
	}
	out := review{APIVersion: in.APIVersion, Kind: in.Kind}
	switch in.Kind {
	case "AdmissionReview":
		out.Response, err = admit(in.Request, serviceName(host))
	case "ConversionReview":
		out.Response, err = convert(in.Request)
	default:
		s.refuse(w, r, host)
		return
	}
	if err != nil {
		http.Error(w, "simulated: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.ledger.Add("webhook " + serviceName(host))
	writeJSON(w, http.StatusOK, out)
}

// admission is an AdmissionReview's response.
type admission struct {
	UID      string   `json:"uid"`
	Allowed  bool     `json:"allowed"`
	Warnings []string `json:"warnings,omitempty"`
}

// admit allows any request, unchanged, and warns whoever made it that nobody has looked at it.
func admit(request json.RawMessage, by string) (*admission, error) {
	var in struct {
		UID string `json:"uid"`
	}
	if err := json.Unmarshal(request, &in); err != nil {
		return nil, fmt.Errorf("parse the AdmissionReview's request: %w", err)
	}
	if in.UID == "" {
		return nil, fmt.Errorf("the AdmissionReview's request has no uid")
	}
	return &admission{UID: in.UID, Allowed: true, Warnings: []string{"admitted by a simulated webhook (" + by + "): nothing was checked"}}, nil
}

// conversion is a ConversionReview's response.
type conversion struct {
	UID       string           `json:"uid"`
	Converted []map[string]any `json:"convertedObjects"`
	Result    metav1.Status    `json:"result"`
}

// convert gives every object the desired version and leaves its fields alone: right wherever two versions share their shape,
// which is what most served versions do.
func convert(request json.RawMessage) (*conversion, error) {
	var in struct {
		UID     string           `json:"uid"`
		Desired string           `json:"desiredAPIVersion"`
		Objects []map[string]any `json:"objects"`
	}
	if err := json.Unmarshal(request, &in); err != nil {
		return nil, fmt.Errorf("parse the ConversionReview's request: %w", err)
	}
	if in.UID == "" || in.Desired == "" {
		return nil, fmt.Errorf("the ConversionReview's request lacks its uid or desiredAPIVersion")
	}
	for i, o := range in.Objects {
		if o == nil {
			return nil, fmt.Errorf("object %d of the ConversionReview is null", i)
		}
		o["apiVersion"] = in.Desired
	}
	return &conversion{UID: in.UID, Converted: in.Objects, Result: metav1.Status{Status: metav1.StatusSuccess}}, nil
}

func isDiscovery(path string) bool {
	return path == "/apis" || strings.HasPrefix(path, "/apis/") || strings.HasPrefix(path, "/openapi/")
}

// discover answers as an aggregated API server that is up and serves no resource.
func (s *responder) discover(w http.ResponseWriter, r *http.Request, host string) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case parts[0] == "openapi":
		writeJSON(w, http.StatusNotFound, failure(http.StatusNotFound, metav1.StatusReasonNotFound, "simulated: no schema behind "+host))
	case len(parts) == 1:
		writeJSON(w, http.StatusOK, metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{}})
	case len(parts) == 2:
		writeJSON(w, http.StatusOK, metav1.APIGroup{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}, Name: parts[1], Versions: []metav1.GroupVersionForDiscovery{}})
	case len(parts) == 3:
		s.ledger.Add("API " + parts[1] + "/" + parts[2])
		writeJSON(w, http.StatusOK, metav1.APIResourceList{
			TypeMeta:     metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"},
			GroupVersion: parts[1] + "/" + parts[2],
			APIResources: []metav1.APIResource{},
		})
	default:
		writeJSON(w, http.StatusNotFound, failure(http.StatusNotFound, metav1.StatusReasonNotFound,
			fmt.Sprintf("simulated: the API %s/%s behind %s serves no resource", parts[1], parts[2], serviceName(host))))
	}
}

func failure(code int32, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

// serviceName turns svc.namespace.svc into svc.namespace, the way people name a Service.
func serviceName(host string) string { return strings.TrimSuffix(host, ".svc") }
