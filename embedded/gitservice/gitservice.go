// Package gitservice makes the cluster's own Git repository readable for Argo CD under the name of a Service that no pod
// serves: an HTTP proxy that answers for that name itself and passes everything else on.
package gitservice

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httputil"
	"os"
	"os/exec"
)

// Host is the Service under which the repository is known in every embedded cluster, so that snapshots fit all of them.
const Host = "git.idp-system.svc.cluster.local"

const proxyUser = "idp"

// Handler is the proxy. It wants password from the user idp, since any user of the machine can reach a loopback port, and
// serves the bare repositories below root, read only.
func Handler(root, password string) (http.Handler, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("git is needed to serve the platform's repository to Argo CD: install it: %w", err)
	}
	backend := &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Dir:  root,
		Env: []string{
			"GIT_PROJECT_ROOT=" + root,
			"GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_NOSYSTEM=1",
			"GIT_CONFIG_GLOBAL=" + os.DevNull,
			"HOME=" + root,
		},
	}
	onward := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.Out.Header.Del("Proxy-Authorization") },
		FlushInterval: -1,
	}
	want := basicAuth(password)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Proxy-Authorization")), []byte(want)) != 1 {
			w.Header().Set("Proxy-Authenticate", `Basic realm="idp"`)
			http.Error(w, "this proxy is for the cluster's own processes", http.StatusProxyAuthRequired)
			return
		}
		// CGI would make an environment variable of it.
		r.Header.Del("Proxy-Authorization")
		switch {
		case r.URL.Hostname() == Host:
			backend.ServeHTTP(w, r)
		case r.URL.IsAbs():
			onward.ServeHTTP(w, r)
		default:
			http.Error(w, "this is a proxy, for http:// URLs", http.StatusBadRequest)
		}
	}), nil
}
