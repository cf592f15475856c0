package simulator

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

const (
	defaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"
	selectedNodeAnnotation = "volume.kubernetes.io/selected-node"
	provisionerAnnotation  = "volume.kubernetes.io/storage-provisioner"
	provisionedAnnotation  = "pv.kubernetes.io/provisioned-by"
	staticProvisioner      = "kubernetes.io/no-provisioner"
	className              = "local-path"
	classProvisioner       = "rancher.io/local-path"
)

// storageKey names a claim (namespace set), a volume or a class.
type storageKey struct{ kind, namespace, name string }

// storage plays the provisioner of every StorageClass the way local-path does: a volume is a folder of the node that the
// scheduler chose, and so ties its pod to that node. Binding is the real volume controller's.
type storage struct {
	client kubernetes.Interface
	ledger *ledger
	log    *slog.Logger

	claims, volumes, classes cache.Store
}

// Start makes sure there is a default StorageClass and begins to provision.
func (s *storage) Start(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(s.client, time.Minute, informers.WithTransform(forgetManagers))
	watched := map[string]cache.SharedIndexInformer{
		"claim":  factory.Core().V1().PersistentVolumeClaims().Informer(),
		"volume": factory.Core().V1().PersistentVolumes().Informer(),
		"class":  factory.Storage().V1().StorageClasses().Informer(),
	}
	s.claims, s.volumes, s.classes = watched["claim"].GetStore(), watched["volume"].GetStore(), watched["class"].GetStore()
	queue := newWork(s.log, s.reconcile)
	for kind, informer := range watched {
		add := func(obj any) {
			if o, ok := obj.(metav1.Object); ok {
				queue.Add(storageKey{kind, o.GetNamespace(), o.GetName()})
			}
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, obj any) { add(obj) }}); err != nil {
			return fmt.Errorf("watch storage: %w", err)
		}
		if err := runInformer(ctx, informer, kind+"s"); err != nil {
			return err
		}
	}
	if err := s.ensureDefault(ctx); err != nil {
		return err
	}
	go queue.Run(ctx)
	return nil
}

func isDefault(class *storagev1.StorageClass) bool {
	return class.Annotations[defaultClassAnnotation] == "true"
}

// ensureDefault makes the class local-path where no default class exists, as k3s and k3d do.
func (s *storage) ensureDefault(ctx context.Context) error {
	for _, obj := range s.classes.List() {
		if class := obj.(*storagev1.StorageClass); isDefault(class) || class.Name == className {
			return nil
		}
	}
	class := &storagev1.StorageClass{
		ObjectMeta:        metav1.ObjectMeta{Name: className, Annotations: map[string]string{Annotation: "storage", defaultClassAnnotation: "true"}},
		Provisioner:       classProvisioner,
		ReclaimPolicy:     ptr.To(corev1.PersistentVolumeReclaimDelete),
		VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
	}
	_, err := s.client.StorageV1().StorageClasses().Create(ctx, class, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create StorageClass %s: %w", className, err)
	}
	return nil
}

func (s *storage) reconcile(ctx context.Context, key storageKey) (bool, error) {
	switch key.kind {
	case "claim":
		return s.provision(ctx, key)
	case "volume":
		return false, s.reclaim(ctx, key)
	default:
		return false, s.yield(ctx, key)
	}
}

// yield takes "default" off our own class once the platform brings a default of its own.
func (s *storage) yield(ctx context.Context, key storageKey) error {
	obj, ok, err := s.classes.GetByKey(key.name)
	if err != nil || !ok {
		return err
	}
	ours, found, err := s.classes.GetByKey(className)
	if err != nil || !found {
		return err
	}
	other, own := obj.(*storagev1.StorageClass), ours.(*storagev1.StorageClass)
	if other.Name == className || !isDefault(other) || !isDefault(own) || own.Annotations[Annotation] == "" {
		return nil
	}
	own = own.DeepCopy()
	own.Annotations[defaultClassAnnotation] = "false"
	if _, err := s.client.StorageV1().StorageClasses().Update(ctx, own, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
		return fmt.Errorf("make %s the default StorageClass: %w", other.Name, err)
	}
	return nil
}

// provision makes the volume of a claim that waits for one.
func (s *storage) provision(ctx context.Context, key storageKey) (bool, error) {
	obj, ok, err := s.claims.GetByKey(key.namespace + "/" + key.name)
	if err != nil || !ok {
		return false, err
	}
	claim := obj.(*corev1.PersistentVolumeClaim)
	obj, ok, err = s.classes.GetByKey(ptr.Deref(claim.Spec.StorageClassName, ""))
	if err != nil || !ok {
		return false, err
	}
	volume := volumeFor(claim, obj.(*storagev1.StorageClass))
	if volume == nil {
		return false, nil
	}
	_, err = s.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{FieldManager: fieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return false, fmt.Errorf("provision the volume of claim %s/%s: %w", key.namespace, key.name, err)
	}
	return false, nil
}

// volumeFor returns the volume that a claim is due, or nil while it is due none.
func volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) *corev1.PersistentVolume {
	node := claim.Annotations[selectedNodeAnnotation]
	waits := ptr.Deref(class.VolumeBindingMode, storagev1.VolumeBindingImmediate) == storagev1.VolumeBindingWaitForFirstConsumer
	switch {
	case class.Provisioner == staticProvisioner,
		claim.DeletionTimestamp != nil,
		claim.Spec.VolumeName != "",
		claim.Annotations[provisionerAnnotation] != class.Provisioner, // the volume controller hasn't asked yet
		waits && node == "":                                           // no pod was scheduled yet
		return nil
	}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "pvc-" + string(claim.UID),
			Annotations: map[string]string{Annotation: "storage", provisionedAnnotation: class.Provisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeReclaimPolicy: ptr.Deref(class.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete),
			StorageClassName:              class.Name,
			MountOptions:                  class.MountOptions,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name,
				UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{
				Path: "/simulated/pvc-" + string(claim.UID), Type: ptr.To(corev1.HostPathDirectoryOrCreate),
			}},
		},
	}
	if node != "" {
		volume.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{node}}},
		}}}}
	}
	return volume
}

// reclaim deletes a volume of ours whose claim is gone.
func (s *storage) reclaim(ctx context.Context, key storageKey) error {
	obj, ok, err := s.volumes.GetByKey(key.name)
	if err != nil || !ok {
		return err
	}
	volume := obj.(*corev1.PersistentVolume)
	if volume.Annotations[Annotation] == "" {
		return nil
	}
	s.ledger.Add("storage")
	if volume.DeletionTimestamp != nil || volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	err = s.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reclaim volume %s: %w", volume.Name, err)
	}
	return nil
}
