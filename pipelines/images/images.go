// Package images is the one place that says which container images the pipelines use, and how their names change where a
// registry mirror stands in for the registries on the internet.
package images

import "strings"

// The images, by version. Renovate adds their digests and raises both (renovate.json).
const (
	// Go compiles what the toolchain is made of.
	Go = "docker.io/library/golang:1.26-bookworm"
	// Base is what the toolchain runs in: certificates and Git, which Argo CD's repository server calls, and no package to install.
	Base = "docker.io/library/buildpack-deps:bookworm-scm"
	// K3s is the cluster of the provider k3s. Its Kubernetes has to be one that the platform's charts are rendered for.
	K3s = "docker.io/rancher/k3s:v1.37.2-k3s1"
)

// Mirrored is the image's name at a mirror ("registry.example/cache"), which keeps the path below each registry's host. Without a
// mirror it is the image itself.
func Mirrored(image, mirror string) string {
	if mirror == "" {
		return image
	}
	_, path, _ := strings.Cut(image, "/")
	return strings.TrimRight(mirror, "/") + "/" + path
}
