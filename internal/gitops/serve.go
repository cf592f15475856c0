package gitops

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
)

// Handler serves the bare repositories below root, read only.
func Handler(root string) (http.Handler, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("git is needed to serve a repository: install it: %w", err)
	}
	backend := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Dir: root,
		Env: []string{
			"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "HOME=" + root,
		},
	}
	return backend, nil
}
