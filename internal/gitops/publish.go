package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Branch is what Argo CD follows in the cluster's own Git service.
const Branch = "main"

// Commit is a published state of the platform.
type Commit struct {
	SHA     string
	Changed bool // false where the branch was there already
}

// Seal writes the staged folder as a commit into the bare repository at gitDir, without moving the branch.
//
// The commit has no parent and fixed dates, so that its name depends on its content alone: the same platform gets the same
// commit on every cluster, and what Argo CD recorded about it in a snapshot stays true after a restore.
func Seal(ctx context.Context, staged, gitDir string) (string, error) {
	if _, err := os.Stat(filepath.Join(gitDir, "HEAD")); errors.Is(err, os.ErrNotExist) {
		if _, err := git(ctx, "", nil, "init", "--quiet", "--bare", "--initial-branch", Branch, gitDir); err != nil {
			return "", err
		}
	}
	index := filepath.Join(gitDir, fmt.Sprintf("index.idp-%d", os.Getpid()))
	defer os.Remove(index)
	env := []string{"GIT_INDEX_FILE=" + index}
	if _, err := git(ctx, gitDir, env, "--work-tree", staged, "add", "--all", "--force", "."); err != nil {
		return "", err
	}
	tree, err := git(ctx, gitDir, env, "write-tree")
	if err != nil {
		return "", err
	}
	return git(ctx, gitDir, env, "commit-tree", "-m", "The platform as it lies in the checkout, charts included", tree)
}

// Publish moves the branch to the commit.
func Publish(ctx context.Context, gitDir, sha string) (Commit, error) {
	before, err := git(ctx, gitDir, nil, "rev-parse", "--verify", "--quiet", "refs/heads/"+Branch)
	if err == nil && before == sha {
		return Commit{SHA: sha}, nil
	}
	if _, err := git(ctx, gitDir, nil, "update-ref", "refs/heads/"+Branch, sha); err != nil {
		return Commit{}, err
	}
	return Commit{SHA: sha, Changed: true}, nil
}

// git runs one git command against a bare repository, shielded from the user's own configuration, hooks and repository.
func git(ctx context.Context, gitDir string, env []string, args ...string) (string, error) {
	if gitDir != "" {
		args = append([]string{"--git-dir", gitDir, "-c", "core.autocrlf=false", "-c", "core.safecrlf=false", "-c", "gc.auto=0"}, args...)
	}
	cmd := exec.CommandContext(ctx, "git", args...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "GIT_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	const who, when = "idp", "2000-01-01T00:00:00Z"
	cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME="+who, "GIT_AUTHOR_EMAIL="+who+"@localhost", "GIT_AUTHOR_DATE="+when,
		"GIT_COMMITTER_NAME="+who, "GIT_COMMITTER_EMAIL="+who+"@localhost", "GIT_COMMITTER_DATE="+when)
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", errors.New("git is not installed: install it (for example: apt-get install git) and run the command again")
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("git %s: %w: %s", verb(args), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// verb finds the git command among its options, for messages.
func verb(args []string) string {
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--git-dir", "-c", "--work-tree":
			i++
		default:
			return args[i]
		}
	}
	return ""
}
