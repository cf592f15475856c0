package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// The mark of a platform in a cluster: the ConfigMaps in which idp records its layers.
const (
	recordNamespace = "idp-system"
	recordSelector  = "app.kubernetes.io/managed-by=idp"
)

// Inspect fills in what the API server knows of a cluster: Kubernetes, UID and New.
func Inspect(ctx context.Context, config *rest.Config, info Info) (Info, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return info, err
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return info, fmt.Errorf("asking the API server at %s for its version: %w", config.Host, err)
	}
	info.Kubernetes = version.GitVersion
	system, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return info, fmt.Errorf("reading namespace %s: %w", metav1.NamespaceSystem, err)
	}
	info.UID = string(system.UID)
	records, err := client.CoreV1().ConfigMaps(recordNamespace).List(ctx, metav1.ListOptions{LabelSelector: recordSelector, Limit: 1})
	if err != nil && !apierrors.IsNotFound(err) {
		return info, fmt.Errorf("looking for the platform's records in namespace %s: %w", recordNamespace, err)
	}
	info.New = len(records.Items) == 0
	return info, nil
}
