package simulator

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

func testClass() *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "local-path"},
		Provisioner: "rancher.io/local-path", VolumeBindingMode: ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
		ReclaimPolicy: ptr.To(corev1.PersistentVolumeReclaimRetain),
	}
}

func TestVolumeFor(t *testing.T) {
	now := metav1.Now()
	tests := map[string]struct {
		claim func(*corev1.PersistentVolumeClaim)
		class func(*storagev1.StorageClass)
		due   bool
	}{
		"scheduled":                {due: true},
		"not scheduled yet":        {claim: func(c *corev1.PersistentVolumeClaim) { delete(c.Annotations, selectedNodeAnnotation) }},
		"not asked for yet":        {claim: func(c *corev1.PersistentVolumeClaim) { delete(c.Annotations, provisionerAnnotation) }},
		"bound":                    {claim: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv" }},
		"being deleted":            {claim: func(c *corev1.PersistentVolumeClaim) { c.DeletionTimestamp = &now }},
		"of a static class":        {class: func(s *storagev1.StorageClass) { s.Provisioner = staticProvisioner }},
		"immediate, not scheduled": {claim: func(c *corev1.PersistentVolumeClaim) { delete(c.Annotations, selectedNodeAnnotation) }, class: func(s *storagev1.StorageClass) { s.VolumeBindingMode = nil }, due: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			claim := &corev1.PersistentVolumeClaim{
				ObjectMeta: metav1.ObjectMeta{Name: "data", Namespace: "ns", UID: "u-1", Annotations: map[string]string{
					provisionerAnnotation: "rancher.io/local-path", selectedNodeAnnotation: "infra-0",
				}},
				Spec: corev1.PersistentVolumeClaimSpec{
					StorageClassName: ptr.To("local-path"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("2Gi")}},
				},
			}
			class := testClass()
			if tt.claim != nil {
				tt.claim(claim)
			}
			if tt.class != nil {
				tt.class(class)
			}
			v := volumeFor(claim, class)
			if !tt.due {
				require.Nil(t, v)
				return
			}
			require.Equal(t, "pvc-u-1", v.Name)
			require.Equal(t, "storage", v.Annotations[Annotation])
			require.Equal(t, "2Gi", v.Spec.Capacity.Storage().String())
			require.Equal(t, corev1.PersistentVolumeReclaimRetain, v.Spec.PersistentVolumeReclaimPolicy)
			require.Equal(t, "u-1", string(v.Spec.ClaimRef.UID))
			if node := claim.Annotations[selectedNodeAnnotation]; node == "" {
				require.Nil(t, v.Spec.NodeAffinity)
			} else {
				require.Equal(t, []string{node}, v.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values)
			}
		})
	}
}

func storageWith(t *testing.T, classes ...*storagev1.StorageClass) (*storage, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset()
	store := func() cache.Store { return cache.NewStore(cache.MetaNamespaceKeyFunc) }
	s := &storage{client: client, ledger: newLedger(), claims: store(), volumes: store(), classes: store()}
	for _, c := range classes {
		require.NoError(t, client.Tracker().Add(c))
		require.NoError(t, s.classes.Add(c))
	}
	return s, client
}

func TestDefaultClass(t *testing.T) {
	ctx := context.Background()
	own, other := testClass(), testClass()
	own.Annotations = map[string]string{Annotation: "storage", defaultClassAnnotation: "true"}
	other.Name, other.Annotations = "longhorn", map[string]string{defaultClassAnnotation: "true"}

	s, client := storageWith(t)
	require.NoError(t, s.ensureDefault(ctx))
	made, err := client.StorageV1().StorageClasses().Get(ctx, className, metav1.GetOptions{})
	require.NoError(t, err)
	require.True(t, isDefault(made))
	require.Equal(t, "storage", made.Annotations[Annotation])

	s, client = storageWith(t, other)
	require.NoError(t, s.ensureDefault(ctx))
	require.Empty(t, client.Actions(), "a cluster with a default class keeps it")

	s, client = storageWith(t, own, other)
	_, err = s.reconcile(ctx, storageKey{kind: "class", name: "longhorn"})
	require.NoError(t, err)
	made, err = client.StorageV1().StorageClasses().Get(ctx, className, metav1.GetOptions{})
	require.NoError(t, err)
	require.False(t, isDefault(made), "the platform's own default wins")
}

func TestReclaim(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.PersistentVolume)
		gone   bool
	}{
		"released": {func(*corev1.PersistentVolume) {}, true},
		"bound":    {func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound }, false},
		"to be kept": {func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		}, false},
		"not a volume ours": {func(v *corev1.PersistentVolume) { v.Annotations = nil }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, client := storageWith(t)
			v := &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "v", Annotations: map[string]string{Annotation: "storage"}},
				Spec:       corev1.PersistentVolumeSpec{PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete},
				Status:     corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased},
			}
			tt.change(v)
			require.NoError(t, client.Tracker().Add(v))
			require.NoError(t, s.volumes.Add(v))
			_, err := s.reconcile(context.Background(), storageKey{kind: "volume", name: "v"})
			require.NoError(t, err)
			list, err := client.CoreV1().PersistentVolumes().List(context.Background(), metav1.ListOptions{})
			require.NoError(t, err)
			require.Equal(t, tt.gone, len(list.Items) == 0)
		})
	}
}
