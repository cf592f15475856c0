package existing

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/idp-blueprint/idp/internal/cluster"
)

// The mark that a cluster which plays some of its parts carries: whoever attaches to it must say so, and expect no pod to run.
const (
	markNamespace = metav1.NamespacePublic
	markName      = "idp-cluster"
	markManager   = "idp"
	markSimulated = "simulated"
)

// Mark writes into the cluster which of its parts are played.
func Mark(ctx context.Context, config *rest.Config, info cluster.Info) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	parts, err := json.Marshal(info.Simulated)
	if err != nil {
		return err
	}
	mark := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: markName, Namespace: markNamespace},
		Data:       map[string]string{markSimulated: string(parts)},
	}
	maps := client.CoreV1().ConfigMaps(markNamespace)
	_, err = maps.Update(ctx, mark, metav1.UpdateOptions{FieldManager: markManager})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(ctx, mark, metav1.CreateOptions{FieldManager: markManager})
	}
	if err != nil {
		return fmt.Errorf("marking the cluster as simulated (ConfigMap %s/%s): %w", markNamespace, markName, err)
	}
	return nil
}

// simulated reads the mark. A cluster without one runs everything.
func simulated(ctx context.Context, config *rest.Config) ([]string, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	mark, err := client.CoreV1().ConfigMaps(markNamespace).Get(ctx, markName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", markNamespace, markName, err)
	}
	var parts []string
	if err := json.Unmarshal([]byte(mark.Data[markSimulated]), &parts); err != nil {
		return nil, fmt.Errorf("ConfigMap %s/%s: %w", markNamespace, markName, err)
	}
	return parts, nil
}
