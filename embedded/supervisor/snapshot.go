package supervisor

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/idp-blueprint/idp/embedded/state"
)

// snapshotRequest says where a snapshot of etcd goes. Both files appear in one step each, the description last.
type snapshotRequest struct {
	Data        string         `json:"data"`        // path of the gzipped data
	Meta        string         `json:"meta"`        // path of the description
	Description map[string]any `json:"description"` // written to Meta, with sha256 and bytes of the data added
}

// snapshot takes etcd's data as it is now, and returns when it has it. The slower rest goes on in the background: idp must
// not wait for it, and may end before it is done.
func (s *supervisor) snapshot(ctx context.Context, request snapshotRequest) error {
	if !filepath.IsAbs(request.Data) || !filepath.IsAbs(request.Meta) {
		return fmt.Errorf("paths %q and %q must be absolute", request.Data, request.Meta)
	}
	client, err := newEtcdClient(s.layout.EtcdSocket())
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("etcd's snapshot: %w", err)
	}
	defer func() { _ = stream.Close() }()
	raw, err := os.CreateTemp(s.layout.Path("tmp"), "snapshot-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(raw, stream)
	if err := errors.Join(err, raw.Close()); err != nil {
		return errors.Join(fmt.Errorf("etcd's snapshot: %w", err), os.Remove(raw.Name()))
	}
	s.set(func() { s.saving++ })
	go func() {
		defer s.set(func() { s.saving-- })
		if err := errors.Join(keep(raw.Name(), request), os.Remove(raw.Name())); err != nil {
			s.log.Error("snapshot", "error", err)
		}
	}()
	return nil
}

// keep compresses the raw data to where the request wants it and describes it.
func keep(raw string, request snapshotRequest) error {
	in, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.CreateTemp(filepath.Dir(request.Data), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }() // gone already when the rename worked
	sum := sha256.New()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(out, sum), gzip.BestSpeed)
	if err != nil {
		return errors.Join(err, out.Close())
	}
	_, err = io.Copy(zip, in)
	err = errors.Join(err, zip.Close())
	info, statErr := out.Stat()
	if err := errors.Join(err, statErr, out.Close()); err != nil {
		return err
	}
	if err := os.Rename(out.Name(), request.Data); err != nil {
		return err
	}
	request.Description["sha256"] = hex.EncodeToString(sum.Sum(nil))
	request.Description["bytes"] = info.Size()
	return state.WriteJSON(request.Meta, request.Description)
}
