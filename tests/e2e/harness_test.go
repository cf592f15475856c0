// Package e2e runs the idp command as its users do, against the real embedded control plane.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// buildRoom is what a first build of the control plane may take on two processors. `go test` ends a package after ten minutes
// unless -timeout says otherwise, which a first build doesn't fit; see the README.
const buildRoom = 40 * time.Minute

// idp is a built command with folders of its own: no test sees another's clusters, snapshots or charts.
type idp struct {
	bin      string
	env      []string
	state    string       // $XDG_STATE_HOME/idp
	cache    string       // $XDG_CACHE_HOME/idp
	checkout string       // the copy of the repository that it runs in
	said     bytes.Buffer // all that it has printed
}

// repository is the checkout under test.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	return root
}

// newIDP builds idp and the control plane, both kept from run to run, and gives them fresh folders. The platform is a copy of
// the repository's, or of testdata/<platform> where that is named.
func newIDP(t *testing.T, platform string) *idp {
	t.Helper()
	root := repository(t)
	base := t.TempDir()
	tool := &idp{
		bin:      filepath.Join(base, "idp"),
		state:    filepath.Join(base, "state", "idp"),
		cache:    filepath.Join(base, "cache", "idp"),
		checkout: filepath.Join(base, "checkout"),
	}
	build := exec.Command("go", "build", "-o", tool.bin, "./cmd/idp")
	build.Dir = root
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	programs := buildControlPlane(t, tool.bin, root)
	require.NoError(t, os.MkdirAll(tool.cache, 0o755))
	require.NoError(t, os.Symlink(programs, filepath.Join(tool.cache, "embedded")))
	copyPlatform(t, root, platform, tool.checkout)
	// Go's own cache would move along with XDG_CACHE_HOME.
	gocache, err := exec.Command("go", "env", "GOCACHE").Output()
	require.NoError(t, err)
	tool.env = append(os.Environ(), "GOCACHE="+strings.TrimSpace(string(gocache)), "XDG_STATE_HOME="+filepath.Dir(tool.state), "XDG_CACHE_HOME="+filepath.Dir(tool.cache))
	t.Cleanup(func() { tool.downAll(t) })
	return tool
}

// buildControlPlane makes sure that the embedded program is built and returns the cache's folder of built programs.
func buildControlPlane(t *testing.T, bin, root string) string {
	t.Helper()
	out, err := exec.Command(bin, "build", "--source", root, "--check").Output()
	if err != nil {
		if deadline, ok := t.Deadline(); ok && time.Until(deadline) < buildRoom {
			t.Skipf("the embedded control plane is not built yet, and its first build doesn't fit go test's time limit.\n" +
				"Run: go test -timeout 60m ./...   (or once: go run ./cmd/idp up)")
		}
		cmd := exec.Command(bin, "build", "--source", root)
		cmd.Stderr = os.Stderr
		out, err = cmd.Output()
		require.NoError(t, err)
	}
	return filepath.Dir(filepath.Dir(strings.TrimSpace(string(out))))
}

func copyPlatform(t *testing.T, root, platform, dest string) {
	t.Helper()
	from := filepath.Join(root, "tests", "e2e", "testdata", platform)
	names := []string{"platform.yaml", "IT", "K8s", "Policies"}
	if platform == "" {
		from = root
	}
	for _, name := range names {
		src := filepath.Join(from, name)
		info, err := os.Stat(src)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		if info.IsDir() {
			require.NoError(t, os.CopyFS(filepath.Join(dest, name), os.DirFS(src)))
			continue
		}
		content, err := os.ReadFile(src)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(dest, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dest, name), content, 0o644))
	}
	require.NoError(t, os.Symlink(filepath.Join(root, "embedded"), filepath.Join(dest, "embedded")))
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// command prepares a run of idp in the checkout.
func (i *idp) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, i.bin, args...)
	cmd.Dir = i.checkout
	cmd.Env = i.env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

func (i *idp) run(t *testing.T, args ...string) result {
	t.Helper()
	cmd := i.command(t.Context(), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	err := cmd.Run()
	i.said.Write(stdout.Bytes())
	i.said.Write(stderr.Bytes())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return result{code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String(), took: time.Since(started)}
}

// ok runs a command that must succeed.
func (i *idp) ok(t *testing.T, args ...string) result {
	t.Helper()
	r := i.run(t, args...)
	require.Zerof(t, r.code, "idp %s\n%s\n%s\n%s", strings.Join(args, " "), r.stdout, r.stderr, i.logs(t))
	return r
}

// up brings the cluster up and returns the last document that it prints.
func (i *idp) up(t *testing.T, args ...string) status {
	t.Helper()
	return lastDocument(t, i.ok(t, append([]string{"up", "--offline", "-o", "json"}, args...)...).stdout)
}

func lastDocument(t *testing.T, stdout string) status {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var s status
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &s), stdout)
	return s
}

// status is the document of `idp status -o json`.
type status struct {
	Cluster struct {
		Name, Provider, Kubernetes, UID string
		Simulated                       []string
	}
	Nodes []struct {
		Name, Pool string
		Ready      bool
	}
	Layers []struct {
		Name, Key, State string
		Objects, Changed int
	}
	Applications []struct{ Name, Stack, Path, Sync, Health, Chart string }
	Ready        bool
}

// client talks to a running cluster as its administrator, under a user agent of its own.
func (i *idp) client(t *testing.T, name string) (kubernetes.Interface, dynamic.Interface) {
	t.Helper()
	path := strings.TrimSpace(i.ok(t, "kubeconfig", "--name", name).stdout)
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	cfg.UserAgent, cfg.QPS, cfg.WarningHandler = "e2e-test", -1, rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(cfg)
	require.NoError(t, err)
	untyped, err := dynamic.NewForConfig(cfg)
	require.NoError(t, err)
	return typed, untyped
}

// writes are the write requests in the cluster's audit log that came from the idp command.
func (i *idp) writes(t *testing.T, name string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(i.state, name, "logs", "audit.log"))
	require.NoError(t, err)
	var found []string
	for text := range strings.SplitSeq(strings.TrimSpace(string(content)), "\n") {
		var e struct{ Verb, UserAgent, RequestURI string }
		require.NoError(t, json.Unmarshal([]byte(text), &e))
		if strings.HasPrefix(e.UserAgent, "idp") && !strings.HasPrefix(e.UserAgent, "idp-") {
			found = append(found, e.Verb+" "+e.RequestURI)
		}
	}
	return found
}

// logs are the ends of the clusters' logs, for a failed test's report.
func (i *idp) logs(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(i.state, "*", "logs", "*.log"))
	require.NoError(t, err)
	var b strings.Builder
	for _, file := range files {
		if filepath.Base(file) == "audit.log" {
			continue
		}
		content, _ := os.ReadFile(file)
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", filepath.Base(file), strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return b.String()
}

// downAll removes whatever clusters a test left.
func (i *idp) downAll(t *testing.T) {
	names, err := os.ReadDir(i.state)
	if err != nil {
		return
	}
	for _, n := range names {
		cmd := i.command(context.Background(), "down", "--name", n.Name())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("idp down --name %s: %v\n%s", n.Name(), err, out)
		}
	}
}

// processes lists the processes whose command line names the path.
func processes(t *testing.T, path string) map[int]string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	found := map[int]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err == nil && bytes.Contains(content, []byte(path)) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			require.NoError(t, err)
			found[pid] = strings.ReplaceAll(string(content), "\x00", " ")
		}
	}
	return found
}
