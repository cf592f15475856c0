package gitops

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Application is what Argo CD says of one Application.
type Application struct {
	Name      string
	Path      string
	Repo      string
	Sync      string // Synced, OutOfSync, Unknown or empty
	Health    string // Healthy, Progressing, Degraded, Suspended, Missing, Unknown or empty
	Revision  string // the commit that the sync status was computed for
	Phase     string // of the last operation: Running, Succeeded, Failed, Error or empty
	Operation bool   // an operation is asked for or under way
	Refresh   bool   // a refresh was asked for and has not been served yet
	Deleting  bool
	Message   string // why it isn't Synced and Healthy, in Argo CD's own words
}

// Done reports whether Argo CD holds the Application Synced and Healthy at the revision; an empty revision means any.
func (a Application) Done(revision string) bool {
	return a.Sync == "Synced" && a.Health == "Healthy" && !a.Refresh && !a.Deleting && !a.Operation &&
		a.Phase != "Running" && (revision == "" || a.Revision == revision)
}

// ArgoCD reads and nudges the Applications and ApplicationSets of one namespace.
type ArgoCD struct {
	client    dynamic.Interface
	namespace string
}

// NewArgoCD returns a reader for the Argo CD that lives in the namespace.
func NewArgoCD(client dynamic.Interface, namespace string) *ArgoCD {
	return &ArgoCD{client: client, namespace: namespace}
}

func (a *ArgoCD) applications() dynamic.ResourceInterface {
	return a.client.Resource(schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}).Namespace(a.namespace)
}

func (a *ArgoCD) applicationSets() dynamic.ResourceInterface {
	return a.client.Resource(schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applicationsets"}).Namespace(a.namespace)
}

// Applications lists all Applications, by name.
func (a *ArgoCD) Applications(ctx context.Context) ([]Application, error) {
	list, err := a.applications().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing Argo CD's Applications: %w", err)
	}
	apps := make([]Application, 0, len(list.Items))
	for _, item := range list.Items {
		apps = append(apps, parse(item))
	}
	slices.SortFunc(apps, func(x, y Application) int { return cmp.Compare(x.Name, y.Name) })
	return apps, nil
}

func parse(u unstructured.Unstructured) Application {
	text := func(fields ...string) string {
		value, _, _ := unstructured.NestedString(u.Object, fields...)
		return value
	}
	_, asked := u.Object["operation"]
	app := Application{
		Name:      u.GetName(),
		Path:      text("spec", "source", "path"),
		Repo:      text("spec", "source", "repoURL"),
		Sync:      text("status", "sync", "status"),
		Health:    text("status", "health", "status"),
		Revision:  text("status", "sync", "revision"),
		Phase:     text("status", "operationState", "phase"),
		Operation: asked,
		Refresh:   u.GetAnnotations()[refreshAnnotation] != "",
		Deleting:  u.GetDeletionTimestamp() != nil,
	}
	app.Message = explain(u, app)
	return app
}

// explain collects Argo CD's own reasons, most telling first: its error conditions, the last operation's message, then the
// resources that are not in order.
func explain(u unstructured.Unstructured, app Application) string {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok {
			return fmt.Sprintf("%v: %v", condition["type"], condition["message"])
		}
	}
	message, _, _ := unstructured.NestedString(u.Object, "status", "operationState", "message")
	if message != "" && app.Phase != "Succeeded" {
		return message
	}
	resources, _, _ := unstructured.NestedSlice(u.Object, "status", "resources")
	for _, r := range resources {
		resource, ok := r.(map[string]any)
		if !ok {
			continue
		}
		health, _, _ := unstructured.NestedString(resource, "health", "status")
		if resource["status"] == "OutOfSync" {
			return fmt.Sprintf("%v %v/%v is OutOfSync", resource["kind"], resource["namespace"], resource["name"])
		}
		if health != "" && health != "Healthy" {
			why, _, _ := unstructured.NestedString(resource, "health", "message")
			return fmt.Sprintf("%v %v/%v is %s %s", resource["kind"], resource["namespace"], resource["name"], health, why)
		}
	}
	return ""
}
