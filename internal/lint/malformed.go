package lint

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/idp-blueprint/idp/internal/render"
)

// malformed: a field that the API doesn't have, or of the wrong type (a number where a string belongs), is refused by the API server while
// it is applied, when the layers before it are there already. Kinds of Kubernetes itself are read as the API server reads them.
func malformed(w *world, report report) {
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Strict: true})
	for _, o := range w.objects {
		switch err := decodes(strict, o.Object); {
		case o.GetAPIVersion() == "" || o.GetKind() == "":
			report(o, "it has no apiVersion or no kind", "give it both, or remove the document")
		case o.broken != nil:
			report(o, "its pod template can't be decoded: "+o.broken.Error(), "give the field the type that the API has, quoting numbers and booleans that are meant as text")
		case err != nil:
			report(o, "the API server would refuse it: "+strings.TrimPrefix(err.Error(), "strict decoding error: "),
				"spell the field as the API does, and give it the type that the API has, quoting numbers and booleans that are meant as text")
		case o.GetName() == "" && !(o.GetGenerateName() != "" && isHook(o.Object)):
			report(o, "it has no name", "set metadata.name: server-side apply takes no generateName but for hooks")
		}
	}
}

// decodes is nil for kinds that Kubernetes itself doesn't have.
func decodes(strict *json.Serializer, o render.Object) error {
	_, _, err := strict.Decode(render.JSON([]render.Object{o}), nil, nil)
	if runtime.IsNotRegisteredError(err) || runtime.IsMissingKind(err) || runtime.IsMissingVersion(err) {
		return nil
	}
	return err
}

func isHook(o render.Object) bool {
	annotations := o.GetAnnotations()
	return annotations["helm.sh/hook"] != "" || annotations["argocd.argoproj.io/hook"] != ""
}

// ownSelector: a workload whose selector isn't that of its own pods is refused, and one without containers as well.
func ownSelector(w *world, report report) {
	for _, p := range w.pods {
		if p.made || !p.ours() {
			continue
		}
		if len(p.template.Spec.Containers) == 0 {
			report(p.owner, "its pods have no container", "list one in containers")
		}
		if !p.owner.is("apps", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet") {
			continue
		}
		selector := nestedMap(p.owner.Object.Object, "spec", "selector")
		if len(selector) == 0 || !selectorOf(selector).Matches(labels.Set(p.template.Labels)) {
			report(p.owner, fmt.Sprintf("its selector (%s) isn't that of its own pods (%s)", selectorOf(selector), labels.Set(p.template.Labels)), "give both the same labels")
		}
	}
}

// serviceIdle: a Service that fits no pod takes connections that nobody answers.
func serviceIdle(w *world, report report) {
	for _, o := range w.objects {
		if !o.is("", "Service") || o.simulated() || o.text("spec", "type") == string(corev1.ServiceTypeExternalName) {
			continue
		}
		selector := nestedMap(o.Object.Object, "spec", "selector")
		if len(selector) > 0 && len(w.podsIn(o.namespace, selectorOf(map[string]any{"matchLabels": selector}))) == 0 {
			report(o, fmt.Sprintf("no pod in %s has the labels of its selector, %s", o.namespace, selectorOf(map[string]any{"matchLabels": selector})), fixSelector)
		}
	}
}
