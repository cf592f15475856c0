package e2e

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// strictlyValid sends everything that is rendered to the API server once more, as a dry run that refuses unknown and doubled fields:
// a misspelt field of a custom resource is dropped without a word otherwise.
func strictlyValid(t *testing.T, tool *idp) {
	typed, untyped := tool.client(t, "one")
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(typed.Discovery()))
	yes := true
	options := metav1.PatchOptions{FieldManager: "argocd-controller", Force: &yes, DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	objects := decode(t, tool.ok(t, "render").stdout)
	require.Greater(t, len(objects), 100)
	var refused []string
	for _, o := range objects {
		mapping, err := mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		require.NoError(t, err, "%s %s", o.GetKind(), o.GetName())
		var api dynamic.ResourceInterface = untyped.Resource(mapping.Resource)
		if mapping.Scope.Name() == "namespace" {
			// An object without a namespace goes where its Application goes, which its tracking id says: app:group/Kind:namespace/name.
			_, place, _ := strings.Cut(o.GetAnnotations()["argocd.argoproj.io/tracking-id"], ":")
			_, place, _ = strings.Cut(place, ":")
			namespace, _, _ := strings.Cut(place, "/")
			api = untyped.Resource(mapping.Resource).Namespace(namespace)
		}
		data, err := o.MarshalJSON()
		require.NoError(t, err)
		if _, err := api.Patch(t.Context(), o.GetName(), types.ApplyPatchType, data, options); err != nil {
			refused = append(refused, o.GetKind()+" "+o.GetNamespace()+"/"+o.GetName()+": "+err.Error())
		}
	}
	require.Empty(t, refused, strings.Join(refused, "\n"))
}

func decode(t *testing.T, text string) []unstructured.Unstructured {
	t.Helper()
	var found []unstructured.Unstructured
	for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096); ; {
		var o unstructured.Unstructured
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		if len(o.Object) > 0 {
			found = append(found, o)
		}
	}
}
