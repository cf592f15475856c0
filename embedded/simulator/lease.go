package simulator

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// A kubelet's own figures are 40 s and 10 s; renewing twice as often leaves room for drills with short grace periods.
const (
	leaseDuration = 40 * time.Second
	leaseInterval = 5 * time.Second
)

// renew keeps the lease of every living node fresh until ctx ends.
func (k *kubelets) renew(ctx context.Context, living func() []*corev1.Node) {
	ticker := time.NewTicker(leaseInterval)
	defer ticker.Stop()
	for {
		for _, node := range living() {
			if err := k.renewLease(ctx, node, time.Now()); err != nil && ctx.Err() == nil {
				k.log.Warn("renew a node's lease", "node", node.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (k *kubelets) renewLease(ctx context.Context, node *corev1.Node, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, leaseInterval)
	defer cancel()
	api := k.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := api.Get(ctx, node.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
			Name: node.Name, Namespace: corev1.NamespaceNodeLease, Annotations: map[string]string{Annotation: "kubelet"},
		}}
	} else if err != nil {
		return fmt.Errorf("read the lease: %w", err)
	}
	lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}}
	lease.Spec.HolderIdentity = ptr.To(node.Name)
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(leaseDuration / time.Second))
	lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(now))
	if lease.UID == "" {
		_, err = api.Create(ctx, lease, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		_, err = api.Update(ctx, lease, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return fmt.Errorf("write the lease: %w", err)
	}
	return nil
}
