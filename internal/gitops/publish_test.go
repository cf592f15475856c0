package gitops

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSealNamesACommitByItsContentAlone(t *testing.T) {
	one, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, other} {
		write(t, dir, map[string]string{"a.yaml": "a: 1\n", "charts/x.tgz": "\x1f\x8b", ".gitignore": "charts/\n"})
	}
	t.Setenv("GIT_AUTHOR_NAME", "somebody") // a user's settings must not reach the name
	t.Setenv("GIT_INDEX_FILE", filepath.Join(one, "mine"))
	first, err := Seal(t.Context(), one, filepath.Join(t.TempDir(), "a.git"))
	require.NoError(t, err)
	repo := filepath.Join(t.TempDir(), "b.git")
	second, err := Seal(t.Context(), other, repo)
	require.NoError(t, err)
	require.Equal(t, first, second)

	content, err := git(t.Context(), repo, nil, "ls-tree", "-r", "--name-only", second)
	require.NoError(t, err)
	require.Equal(t, ".gitignore\na.yaml\ncharts/x.tgz", content, "ignored charts are published too")

	write(t, other, map[string]string{"a.yaml": "a: 2\n"})
	third, err := Seal(t.Context(), other, repo)
	require.NoError(t, err)
	require.NotEqual(t, second, third)
}

func TestPublishMovesTheBranchOnlyWhereItMust(t *testing.T) {
	staged, repo := t.TempDir(), filepath.Join(t.TempDir(), "r.git")
	write(t, staged, map[string]string{"a.yaml": "a: 1\n"})
	sha, err := Seal(t.Context(), staged, repo)
	require.NoError(t, err)

	commit, err := Publish(t.Context(), repo, sha)
	require.NoError(t, err)
	require.Equal(t, Commit{SHA: sha, Changed: true}, commit)

	commit, err = Publish(t.Context(), repo, sha)
	require.NoError(t, err)
	require.Equal(t, Commit{SHA: sha}, commit)
}

func TestSealLeavesNoIndexBehind(t *testing.T) {
	staged, repo := t.TempDir(), filepath.Join(t.TempDir(), "r.git")
	write(t, staged, map[string]string{"a.yaml": "a: 1\n"})
	_, err := Seal(t.Context(), staged, repo)
	require.NoError(t, err)
	left, err := filepath.Glob(filepath.Join(repo, "index*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestSourcesAreReadBackFromTheCommit(t *testing.T) {
	staged, repo := t.TempDir(), filepath.Join(t.TempDir(), "r.git")
	require.NoError(t, writeSources(map[string]string{"web": "inventory"}, staged))
	sha, err := Seal(t.Context(), staged, repo)
	require.NoError(t, err)
	_, err = Sources(t.Context(), repo)
	require.Error(t, err, "nothing is published yet")
	_, err = Publish(t.Context(), repo, sha)
	require.NoError(t, err)
	sources, err := Sources(t.Context(), repo)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"web": "inventory"}, sources)
}

func TestSealSaysThatGitIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Seal(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "r.git"))
	require.EqualError(t, err, "git is not installed: install it (for example: apt-get install git) and run the command again")
	require.NoFileExists(t, filepath.Join(os.TempDir(), "r.git"))
}
