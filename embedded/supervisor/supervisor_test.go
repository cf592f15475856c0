package supervisor

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/idp-blueprint/idp/embedded/lifeline"
	"github.com/idp-blueprint/idp/embedded/state"
)

func TestGate(t *testing.T) {
	var g gate
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, g.Wait(ctx), "closed, and nobody opens it")
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() { _ = g.Wait(t.Context()) })
	}
	g.Open()
	g.Open()
	wait.Wait()
	require.True(t, g.IsOpen())
	g.Close()
	require.False(t, g.IsOpen())
	require.Error(t, g.Wait(ctx))
}

func TestRollup(t *testing.T) {
	rss, pss := rollup("0040-7fff ---p 00000000 00:00 0 [rollup]\nRss:                8 kB\nPss:                3 kB\nPss_Anon: 1 kB\nbad\nRss: x kB\n")
	require.EqualValues(t, 8192, rss)
	require.EqualValues(t, 3072, pss)
}

func TestLastLines(t *testing.T) {
	long := strings.Repeat("x", longestLine+5)
	require.Equal(t, "  b\n  "+long[:longestLine]+"…", lastLines(strings.NewReader("a\nb\n"+long+"\n"), 2))
	require.Empty(t, lastLines(strings.NewReader(""), 2))
}

func TestWithUID(t *testing.T) {
	codec := scheme.Codecs.EncoderForVersion(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), corev1.SchemeGroupVersion)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "old", Labels: map[string]string{"a": "b"}}}
	stored, err := runtime.Encode(codec, namespace)
	require.NoError(t, err)
	renewed, err := withUID(stored, "new")
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(renewed, []byte("k8s\x00")), "in the form that the API server stores")
	object, _, err := scheme.Codecs.UniversalDeserializer().Decode(renewed, nil, nil)
	require.NoError(t, err)
	namespace.UID = "new"
	require.Equal(t, namespace.ObjectMeta, object.(*corev1.Namespace).ObjectMeta)

	for _, bad := range [][]byte{nil, []byte("k8s\x00garbage"), []byte(`{"kind":"Pod","apiVersion":"v1"}`)} {
		_, err := withUID(bad, "new")
		require.Error(t, err)
	}
}

func TestKeepCompressesAndDescribes(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	content := bytes.Repeat([]byte("etcd "), 1000)
	require.NoError(t, os.WriteFile(raw, content, 0o600))
	request := snapshotRequest{Data: filepath.Join(dir, "x.db.gz"), Meta: filepath.Join(dir, "x.json"), Description: map[string]any{"keys": map[string]any{"a": "1"}}}
	require.NoError(t, keep(raw, request))

	data, err := os.ReadFile(request.Data)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	described, err := os.ReadFile(request.Meta)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(described, &got))
	require.Equal(t, map[string]any{"keys": map[string]any{"a": "1"}, "sha256": hex.EncodeToString(sum[:]), "bytes": float64(len(data))}, got)

	plain := filepath.Join(dir, "plain")
	require.NoError(t, decompress(request.Data, plain))
	back, err := os.ReadFile(plain)
	require.NoError(t, err)
	require.Equal(t, content, back)
}

func TestDecompressRefusesDamage(t *testing.T) {
	dir := t.TempDir()
	var whole bytes.Buffer
	zip := gzip.NewWriter(&whole)
	_, err := zip.Write(bytes.Repeat([]byte("x"), 1000))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	for name, data := range map[string][]byte{"empty": nil, "cut": whole.Bytes()[:whole.Len()-4], "other": []byte("no gzip at all")} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, data, 0o600))
		require.Error(t, decompress(file, filepath.Join(dir, "out")), name)
	}
}

func TestSnapshotRequestsMustBeAbsolute(t *testing.T) {
	s := &supervisor{}
	require.ErrorContains(t, s.snapshot(t.Context(), snapshotRequest{Data: "x", Meta: "/y"}), "absolute")
}

func TestOneSupervisorAFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "supervisor.lock")
	unlock, err := lock(file)
	require.NoError(t, err)
	_, err = lock(file)
	require.ErrorContains(t, err, fmt.Sprintf("process id %d", os.Getpid()))
	unlock()
	unlock, err = lock(file)
	require.NoError(t, err)
	unlock()
	_, err = lock(filepath.Join(t.TempDir(), "gone", "supervisor.lock"))
	require.Error(t, err, "it must not make a folder that `idp down` has removed")
}

// keepScript keeps a shell script running, as a child of a supervisor.
func keepScript(t *testing.T, script string) *child {
	t.Helper()
	line, err := lifeline.New()
	require.NoError(t, err)
	layout := state.Layout{Dir: t.TempDir()}
	require.NoError(t, os.MkdirAll(layout.Logs(), 0o700))
	program := layout.Path("program")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o700))
	c := &child{name: "x", args: func() ([]string, error) { return nil, nil }, env: os.Environ}
	r := &runner{layout: layout, program: program, line: line, changed: func() {}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.keep(ctx, c)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		require.Equal(t, "stopped", c.status().State)
		require.NoError(t, line.Close())
	})
	return c
}

func TestAChildThatDiesIsStartedAgain(t *testing.T) {
	c := keepScript(t, "exec sleep 60")
	require.NoError(t, c.up.Wait(t.Context()))
	first := c.status().PID
	c.kill()
	require.Eventually(t, func() bool {
		st := c.status()
		return st.State == "running" && st.PID != first && st.Restarts == 1 && st.LastExit == "signal: killed"
	}, 20*time.Second, 10*time.Millisecond)
	require.Empty(t, c.status().Failed)
}

func TestAChildThatKeepsFailingIsReported(t *testing.T) {
	c := keepScript(t, "echo the disk is on fire >&2; exit 3")
	require.Eventually(t, func() bool { return c.status().Failed != "" }, 30*time.Second, 10*time.Millisecond)
	require.Contains(t, c.status().Failed, "x does not stay up (exit status 3)")
	require.Contains(t, c.status().Failed, "the disk is on fire")
}

func TestUntilSaysWhyNot(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	err := until(ctx, func(context.Context) error { return io.ErrUnexpectedEOF })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestConfigurationFiles(t *testing.T) {
	layout := state.Layout{Dir: t.TempDir()}
	require.NoError(t, os.MkdirAll(layout.Path("config"), 0o700))
	c := &cluster{s: &supervisor{layout: layout}, keys: &keyring{layout: layout}}
	for file, want := range map[string]string{
		"egress.yaml":       layout.EgressSocket(),
		"scheduler.yaml":    layout.PKI("kube-scheduler.kubeconfig"),
		"audit-policy.yaml": "kind: Policy",
	} {
		require.NoError(t, c.writeConfig(file))
		data, err := os.ReadFile(layout.Path("config", file))
		require.NoError(t, err)
		require.Contains(t, string(data), want)
	}
}

// The rules of the house: nothing listens beyond loopback, and no secret stands on a command line.
func TestCommandLines(t *testing.T) {
	layout := state.Layout{Dir: t.TempDir()}
	require.NoError(t, os.MkdirAll(layout.Path("run"), 0o700))
	keys, err := newKeyring(layout)
	require.NoError(t, err)
	c := &cluster{s: &supervisor{layout: layout, ports: state.Ports{}}, keys: keys}
	for _, name := range []string{portAPIServer, portRepoServer} {
		_, _, err := c.s.port(name)
		require.NoError(t, err)
	}
	for name, args := range map[string]func() ([]string, error){
		etcd: c.etcdArgs, apiServer: c.apiServerArgs, controllerManager: c.controllerManagerArgs, scheduler: c.schedulerArgs,
		repoServer: c.repoServerArgs, appController: c.appControllerArgs, applicationSet: c.applicationSetArgs,
	} {
		got, err := args()
		require.NoError(t, err)
		line := strings.Join(got, "\n")
		require.NotContains(t, line, "0.0.0.0", name)
		require.NotContains(t, line, "=:", name)
		require.NotContains(t, line, "127.0.0.1:0", name)
		require.NotContains(t, strings.ToLower(line), "password", name)
		require.NotContains(t, line, "token=", name)
	}
	c.apiserver = &child{}
	require.NoError(t, keys.writeKubeconfigs("demo", "127.0.0.1:1"))
	info, err := os.Stat(layout.Kubeconfig())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
