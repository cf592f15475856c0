package simulator

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// crd is a CustomResourceDefinition without its schemas: a platform's hundred definitions are some tens of megabytes once
// decoded, nearly all of it schemas that nobody here reads.
type crd struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		Group    string       `json:"group"`
		Names    crdNames     `json:"names"`
		Versions []crdVersion `json:"versions"`
		// Conversion is nil where the only strategy is None.
		Conversion *crdConversion `json:"conversion,omitempty"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions,omitempty"`
	} `json:"status,omitempty"`
}

type crdNames struct {
	Kind   string `json:"kind"`
	Plural string `json:"plural"`
}

type crdVersion struct {
	Name         string `json:"name"`
	Served       bool   `json:"served"`
	Storage      bool   `json:"storage"`
	Subresources struct {
		Status *struct{} `json:"status,omitempty"`
	} `json:"subresources,omitempty"`
}

type crdConversion struct {
	Strategy string `json:"strategy"`
	Webhook  *struct {
		ClientConfig *webhookClient `json:"clientConfig,omitempty"`
	} `json:"webhook,omitempty"`
}

// DeepCopyObject makes crd a runtime.Object. Nothing here changes a crd after it was decoded, so the parts may be shared.
func (c *crd) DeepCopyObject() runtime.Object {
	out := *c
	out.ObjectMeta = *c.DeepCopy()
	return &out
}

// crdList is a list of crd.
type crdList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []crd `json:"items"`
}

// DeepCopyObject makes crdList a runtime.Object.
func (l *crdList) DeepCopyObject() runtime.Object {
	out := *l
	out.Items = make([]crd, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopyObject().(*crd)
	}
	return &out
}

// established reports whether the API server serves the definition's resources.
func (c *crd) established() bool {
	for _, cond := range c.Status.Conditions {
		if cond.Type == "Established" {
			return cond.Status == metav1.ConditionTrue && c.DeletionTimestamp == nil
		}
	}
	return false
}

// version returns the served version of that name, or, for an empty name, the one that is stored.
func (c *crd) version(name string) (crdVersion, bool) {
	for _, v := range c.Spec.Versions {
		if v.Served && (v.Name == name || name == "" && v.Storage) {
			return v, true
		}
	}
	return crdVersion{}, false
}

// watchCRDs returns an informer over all definitions; it isn't started.
func watchCRDs(cfg *rest.Config) (cache.SharedIndexInformer, error) {
	gv := schema.GroupVersion{Group: "apiextensions.k8s.io", Version: "v1"}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypeWithName(gv.WithKind("CustomResourceDefinition"), &crd{})
	scheme.AddKnownTypeWithName(gv.WithKind("CustomResourceDefinitionList"), &crdList{})
	metav1.AddToGroupVersion(scheme, gv)
	cfg = rest.CopyConfig(cfg)
	cfg.GroupVersion = &gv
	cfg.APIPath = "/apis"
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	client, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to watch CRDs: %w", err)
	}
	lw := cache.NewListWatchFromClient(client, "customresourcedefinitions", "", fields.Everything())
	informer := cache.NewSharedIndexInformer(lw, &crd{}, time.Minute, cache.Indexers{})
	if err := informer.SetTransform(forgetManagers); err != nil {
		return nil, fmt.Errorf("set up the watch of CRDs: %w", err)
	}
	return informer, nil
}

// forgetManagers drops what is large and not looked at from an object before it is cached.
func forgetManagers(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

// runInformer starts an informer and waits until it has seen what there is.
func runInformer(ctx context.Context, informer cache.SharedIndexInformer, what string) error {
	go informer.Run(ctx.Done())
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return fmt.Errorf("watch %s: nothing was listed within %s", what, apiTimeout)
	}
	return nil
}
