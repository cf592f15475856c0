package supervisor

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	etcdsnapshot "go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
)

// etcd's only member. The address of a peer is part of etcd's data but nobody ever uses it.
const (
	etcdMember = "idp"
	etcdPeer   = "http://localhost:2380"
)

// identityKey is where the API server keeps the object whose UID is the cluster's identity.
const identityKey = "/registry/namespaces/kube-system"

// restore makes etcd's data from the snapshot that the spec names, unless there is data already. It can be interrupted at
// any moment: the data appears in one step, and a mark says that the identity is still the old cluster's.
func (s *supervisor) restore(context.Context) error {
	data := s.layout.EtcdData()
	if s.spec.Restore == "" {
		return nil
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.phase("restoring a snapshot")
	plain, fresh := s.layout.Path("tmp", "restore.db"), data+".tmp"
	defer func() { _ = os.Remove(plain) }()
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := decompress(s.spec.Restore, plain); err != nil {
		return fmt.Errorf("snapshot %s: %w", s.spec.Restore, err)
	}
	err := etcdsnapshot.NewV3(zap.NewNop()).Restore(etcdsnapshot.RestoreConfig{
		SnapshotPath:        plain,
		Name:                etcdMember,
		OutputDataDir:       fresh,
		PeerURLs:            []string{etcdPeer},
		InitialCluster:      etcdMember + "=" + etcdPeer,
		InitialClusterToken: "etcd-cluster", // etcd's own default
	})
	if err != nil {
		return fmt.Errorf("snapshot %s: %w", s.spec.Restore, err)
	}
	if err := os.WriteFile(s.identityMark(), nil, 0o600); err != nil {
		return err
	}
	s.set(func() { s.restored = true })
	return os.Rename(fresh, data)
}

func (s *supervisor) identityMark() string { return s.layout.Path("run", "identity-is-old") }

// renewIdentity gives a restored cluster a UID of its own, once, before an API server has read the old one.
func (s *supervisor) renewIdentity(ctx context.Context, client *clientv3.Client) error {
	if _, err := os.Stat(s.identityMark()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	got, err := client.Get(ctx, identityKey)
	if err != nil {
		return err
	}
	if len(got.Kvs) == 1 {
		renewed, err := withUID(got.Kvs[0].Value, types.UID(uuid.NewString()))
		if err != nil {
			return fmt.Errorf("%s in the snapshot: %w", identityKey, err)
		}
		if _, err := client.Put(ctx, identityKey, string(renewed)); err != nil {
			return err
		}
	}
	return os.Remove(s.identityMark())
}

// withUID returns a Namespace as the API server stores it, with another UID.
func withUID(stored []byte, uid types.UID) ([]byte, error) {
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(stored, nil, nil)
	if err != nil {
		return nil, err
	}
	namespace, ok := object.(*corev1.Namespace)
	if !ok {
		return nil, fmt.Errorf("a %T, not a Namespace", object)
	}
	namespace.UID = uid
	codec := scheme.Codecs.EncoderForVersion(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), corev1.SchemeGroupVersion)
	return runtime.Encode(codec, namespace)
}

func decompress(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	reader, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, reader)
	return errors.Join(err, out.Close())
}
