package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

const (
	// attemptTimeout bounds one request. It is longer than the 30 s that a webhook may take.
	attemptTimeout = 40 * time.Second
	// inFlight bounds the requests that all layers together have under way.
	inFlight = 16
	// metadataOnly asks for the metadata of an object, since a few CustomResourceDefinitions weigh a megabyte.
	metadataOnly     = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
	metadataOnlyList = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
)

// client speaks to the API server: one method a verb, one request a call, no retries.
type client struct {
	rest  rest.Interface
	slots chan struct{}
}

func newClient(cfg *rest.Config) (*client, discovery.ServerResourcesInterfaceWithContext, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.RateLimiter = -1, nil // the API server has its own fairness, and this program its bound on requests in flight
	cfg.WarningHandler, cfg.WarningHandlerWithContext = nil, warningCollector{}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	transport, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	plain, err := rest.UnversionedRESTClientForConfigAndClient(cfg, transport)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	discoverer, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, transport)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	return &client{rest: plain, slots: make(chan struct{}, inFlight)}, discoverer, nil
}

// do runs one request within the bounds on time and on requests in flight.
func (c *client) do(ctx context.Context, request *rest.Request) (body []byte, code int, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	result := request.MaxRetries(0).Do(ctx).StatusCode(&code)
	if err := result.Error(); err != nil {
		return nil, code, err
	}
	body, err = result.Raw()
	return body, code, err
}

// apply is one server-side apply. created says that the object was not there before.
func (c *client) apply(ctx context.Context, r resource, obj *unstructured.Unstructured) (meta *metav1.PartialObjectMetadata, created bool, err error) {
	request, err := c.applyRequest(r, obj)
	if err != nil {
		return nil, false, err
	}
	body, code, err := c.do(ctx, request)
	if err != nil {
		return nil, false, err
	}
	meta, err = decode[metav1.PartialObjectMetadata](body)
	return meta, code == http.StatusCreated, err
}

// try is an apply that stops short of storing the object, admission included. It is not a plain create, since the API server
// makes the creator of a custom resource wait for two seconds when the kind is new.
func (c *client) try(ctx context.Context, r resource, obj *unstructured.Unstructured) error {
	request, err := c.applyRequest(r, obj)
	if err != nil {
		return err
	}
	_, _, err = c.do(ctx, request.Param("dryRun", "All"))
	return err
}

func (c *client) applyRequest(r resource, obj *unstructured.Unstructured) (*rest.Request, error) {
	data, err := obj.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return c.rest.Verb(http.MethodPatch).AbsPath(r.path(obj.GetNamespace(), obj.GetName())...).
		SetHeader("Content-Type", string(types.ApplyPatchType)).SetHeader("Accept", metadataOnly).
		Param("fieldManager", FieldManager).Param("force", "true").Body(data), nil
}

// create posts an object.
func (c *client) create(ctx context.Context, r resource, obj *unstructured.Unstructured) (*metav1.PartialObjectMetadata, error) {
	data, err := obj.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	body, _, err := c.do(ctx, c.rest.Post().AbsPath(r.path(obj.GetNamespace(), "")...).SetHeader("Content-Type", "application/json").
		SetHeader("Accept", metadataOnly).Param("fieldManager", FieldManager).Body(data))
	if err != nil {
		return nil, err
	}
	return decode[metav1.PartialObjectMetadata](body)
}

// replace puts an object in the place of the one with the given resource version.
func (c *client) replace(ctx context.Context, r resource, obj *unstructured.Unstructured, version string) (*metav1.PartialObjectMetadata, error) {
	obj = obj.DeepCopy()
	obj.SetResourceVersion(version)
	data, err := obj.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	body, _, err := c.do(ctx, c.rest.Put().AbsPath(r.path(obj.GetNamespace(), obj.GetName())...).
		SetHeader("Content-Type", "application/json").SetHeader("Accept", metadataOnly).Param("fieldManager", FieldManager).Body(data))
	if err != nil {
		return nil, err
	}
	return decode[metav1.PartialObjectMetadata](body)
}

// metadata is the metadata of an object.
func (c *client) metadata(ctx context.Context, r resource, namespace, name string) (*metav1.PartialObjectMetadata, error) {
	body, _, err := c.do(ctx, c.rest.Get().AbsPath(r.path(namespace, name)...).SetHeader("Accept", metadataOnly))
	if err != nil {
		return nil, err
	}
	return decode[metav1.PartialObjectMetadata](body)
}

// get is an object with all its fields.
func (c *client) get(ctx context.Context, r resource, namespace, name string) (*unstructured.Unstructured, error) {
	body, _, err := c.do(ctx, c.rest.Get().AbsPath(r.path(namespace, name)...).SetHeader("Accept", "application/json"))
	if err != nil {
		return nil, err
	}
	obj := &unstructured.Unstructured{}
	return obj, obj.UnmarshalJSON(body)
}

// list are the objects of a namespace that a label or field selector matches; empty selectors match all.
func (c *client) list(ctx context.Context, r resource, namespace, labels, fields string) (*unstructured.UnstructuredList, error) {
	request := c.rest.Get().AbsPath(r.path(namespace, "")...).SetHeader("Accept", "application/json")
	if labels != "" {
		request = request.Param("labelSelector", labels)
	}
	if fields != "" {
		request = request.Param("fieldSelector", fields)
	}
	body, _, err := c.do(ctx, request)
	if err != nil {
		return nil, err
	}
	list := &unstructured.UnstructuredList{}
	return list, list.UnmarshalJSON(body)
}

// probe asks whether a resource is served at all, for the price of one object's metadata.
func (c *client) probe(ctx context.Context, r resource) error {
	_, _, err := c.do(ctx, c.rest.Get().AbsPath(r.path("", "")...).SetHeader("Accept", metadataOnlyList).Param("limit", "1"))
	return err
}

// delete removes the object that has the given UID.
func (c *client) delete(ctx context.Context, r resource, namespace, name string, uid types.UID, how metav1.DeletionPropagation) error {
	data, err := json.Marshal(metav1.DeleteOptions{
		TypeMeta:      metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &how,
	})
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	_, _, err = c.do(ctx, c.rest.Delete().AbsPath(r.path(namespace, name)...).SetHeader("Content-Type", "application/json").
		SetHeader("Accept", metadataOnly).Body(data))
	return err
}

// path is the URL path of an object, or of the collection where name is empty.
func (r resource) path(namespace, name string) []string {
	path := []string{"/apis", r.Group, r.Version}
	if r.Group == "" {
		path = []string{"/api", r.Version}
	}
	if r.Namespaced && namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	path = append(path, r.Resource)
	if name != "" {
		path = append(path, name)
	}
	return path
}

func decode[T any](body []byte) (*T, error) {
	value := new(T)
	if err := json.Unmarshal(body, value); err != nil {
		return nil, fmt.Errorf("the API server's answer is no JSON: %w", err)
	}
	return value, nil
}
