package gitops

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASealedFolderCanBeClonedAndNotPushedTo(t *testing.T) {
	staged, root := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(staged, "platform.yaml"), []byte("global: {}\n"), 0o600))
	repository := filepath.Join(root, "platform.git")
	sha, err := Seal(t.Context(), staged, repository)
	require.NoError(t, err)
	_, err = Publish(t.Context(), repository, sha)
	require.NoError(t, err)
	handler, err := Handler(root)
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	defer server.Close()

	clone := filepath.Join(t.TempDir(), "clone")
	out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", server.URL+"/platform.git", clone).CombinedOutput()
	require.NoError(t, err, string(out))
	content, err := os.ReadFile(filepath.Join(clone, "platform.yaml"))
	require.NoError(t, err)
	require.Equal(t, "global: {}\n", string(content))
	out, err = exec.CommandContext(t.Context(), "git", "-C", clone, "push", "origin", "HEAD:refs/heads/other").CombinedOutput()
	require.Error(t, err, string(out))
}
