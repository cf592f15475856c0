// Package repoclient asks Argo CD's repo server for manifests without a repo server: it calls the function that the server calls for
// every Application. It exists to be compared with.
package repoclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/reposerver/apiclient"
	"github.com/argoproj/argo-cd/v3/reposerver/repository"
	"github.com/argoproj/argo-cd/v3/util/git"
	utilio "github.com/argoproj/argo-cd/v3/util/io"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Request is an Application with a Helm source in a checked-out repository.
type Request struct {
	Root             string            `json:"root"` // the checkout, absolute
	Path             string            `json:"path"` // the Application's path in it
	App              string            `json:"app"`
	Release          string            `json:"release"`
	Namespace        string            `json:"namespace"`  // the Application's destination
	ValueFiles       []string          `json:"valueFiles"` // as in an Application: /platform.yaml is at the checkout's root
	Parameters       map[string]string `json:"parameters"`
	StringParameters map[string]string `json:"stringParameters"` // with forceString
	KubeVersion      string            `json:"kubeVersion"`
	APIVersions      []string          `json:"apiVersions"`
	SkipTests        bool              `json:"skipTests"`
	SkipCRDs         bool              `json:"skipCRDs"`
	SkipSchema       bool              `json:"skipSchema"`
}

// Response has either an object per manifest, in the repo server's order, or an error.
type Response struct {
	Manifests []json.RawMessage `json:"manifests"`
	Error     string            `json:"error,omitempty"`
}

// Main reads requests from in, JSON values one after another, and writes a line of JSON to out for each. `helm` must be on the PATH.
// It ends with in; a request that can't be rendered is a response with an error and doesn't end it.
func Main(ctx context.Context, in io.Reader, out io.Writer) error {
	requests, responses := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q Request
		if err := requests.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		if err := responses.Encode(respond(ctx, q)); err != nil {
			return fmt.Errorf("write a response: %w", err)
		}
	}
}

func respond(ctx context.Context, q Request) Response {
	const revision = "0000000000000000000000000000000000000000"
	generated, err := repository.GenerateManifests(ctx, filepath.Join(q.Root, filepath.FromSlash(q.Path)), q.Root, revision, manifestRequest(q),
		false, git.NoopCredsStore{}, resource.MustParse("0"), utilio.NewRandomizedTempPaths(q.Root))
	if err != nil {
		return Response{Error: err.Error()}
	}
	var r Response
	for _, manifest := range generated.Manifests {
		r.Manifests = append(r.Manifests, json.RawMessage(manifest))
	}
	return r
}

// manifestRequest is what the application controller sends, with Argo CD's default settings.
func manifestRequest(q Request) *apiclient.ManifestRequest {
	const url = "https://git.invalid/platform.git"
	source := &v1alpha1.ApplicationSource{
		RepoURL: url,
		Path:    q.Path,
		Helm: &v1alpha1.ApplicationSourceHelm{
			ReleaseName:          q.Release,
			ValueFiles:           q.ValueFiles,
			Parameters:           append(parameters(q.Parameters, false), parameters(q.StringParameters, true)...),
			KubeVersion:          q.KubeVersion,
			APIVersions:          q.APIVersions,
			SkipTests:            q.SkipTests,
			SkipCrds:             q.SkipCRDs,
			SkipSchemaValidation: q.SkipSchema,
		},
	}
	return &apiclient.ManifestRequest{
		Repo:              &v1alpha1.Repository{Repo: url},
		AppLabelKey:       common.LabelKeyAppInstance,
		AppName:           q.App,
		Namespace:         q.Namespace,
		ApplicationSource: source,
		TrackingMethod:    string(v1alpha1.TrackingMethodAnnotation),
		ProjectName:       "default",
	}
}

func parameters(values map[string]string, forceString bool) []v1alpha1.HelmParameter {
	var list []v1alpha1.HelmParameter
	for name, value := range values {
		list = append(list, v1alpha1.HelmParameter{Name: name, Value: value, ForceString: forceString})
	}
	return list
}
