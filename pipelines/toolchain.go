package pipelines

import (
	"github.com/idp-blueprint/idp/internal/dagger"
	"github.com/idp-blueprint/idp/pipelines/images"
)

const (
	// user runs everything that needs no privilege: whoever has this number has no name in the image, and no rights beyond its own files.
	user = "1000:1000"
	home = "/home/idp"
	// cacheHome is where idp looks for the control plane's program and for charts.
	cacheHome = home + "/.cache"
	stateHome = "/state"
)

// Toolchain is a container with idp, the embedded control plane and the command line tools, all compiled from Go modules.
func (s *Site) Toolchain() *dagger.Container {
	return s.base().WithDefaultTerminalCmd([]string{"bash"})
}

// base is the toolchain as steps use it: it holds nothing that changes with the platform.
func (s *Site) base() *dagger.Container {
	return s.Dag.Container().
		From(images.Mirrored(images.Base, s.Mirror)).
		WithFile("/usr/local/bin/idp", s.programs().File("idp")).
		WithDirectory("/usr/local/bin", s.tools()).
		WithDirectory(home, s.Dag.Directory().WithNewDirectory(".cache/idp"), dagger.ContainerWithDirectoryOpts{Owner: user}).
		WithDirectory(cacheHome+"/idp/embedded", s.controlPlane(), dagger.ContainerWithDirectoryOpts{Owner: user}).
		WithEnvVariable("HOME", home).
		WithEnvVariable("XDG_CACHE_HOME", cacheHome).
		WithEnvVariable("XDG_STATE_HOME", stateHome).
		WithUser(user).
		WithWorkdir(home)
}

// Workshop is a container in which idp works on the source: it has the charts too.
func (s *Site) Workshop() *dagger.Container {
	ctr := s.base()
	if s.Charts != nil {
		ctr = ctr.WithMountedDirectory(cacheHome+"/idp/charts", s.Charts, dagger.ContainerWithMountedDirectoryOpts{Owner: user})
	}
	return ctr.WithMountedDirectory("/src", s.Source, dagger.ContainerWithMountedDirectoryOpts{Owner: user})
}

// golang is a container that compiles: Go's caches are kept from one call to the next.
func (s *Site) golang() *dagger.Container {
	ctr := s.Dag.Container().
		From(images.Mirrored(images.Go, s.Mirror)).
		WithMountedCache("/go/pkg/mod", s.Dag.CacheVolume("idp-go-mod")).
		WithMountedCache("/root/.cache/go-build", s.Dag.CacheVolume("idp-go-build")).
		WithEnvVariable("GOFLAGS", "-buildvcs=false -trimpath")
	if s.GoProxy != "" {
		ctr = ctr.WithEnvVariable("GOPROXY", s.GoProxy)
	}
	return ctr
}

// programs are idp, which does the work, and mkprogram, which builds the control plane. One build compiles what they share once.
func (s *Site) programs() *dagger.Directory {
	return s.golang().
		WithMountedDirectory("/src", s.Code).
		WithWorkdir("/src").
		WithExec([]string{"go", "build", "-ldflags", "-s -w", "-o", "/out/", "./cmd/idp", "./internal/cluster/embedded/mkprogram"}).
		Directory("/out")
}

// controlPlane is the folder of the embedded control plane's program, as `idp build` leaves it in its cache. An edit of idp's code runs
// the step again, which finds everything in Go's cache and links.
func (s *Site) controlPlane() *dagger.Directory {
	return s.golang().
		WithMountedFile("/usr/local/bin/mkprogram", s.programs().File("mkprogram")).
		WithMountedDirectory("/src/embedded", s.ControlPlane).
		WithExec([]string{"mkprogram", "/src/embedded", "/out/idp"}).
		Directory("/out/idp/embedded")
}

// tools are helm, kubectl and kustomize, of the versions that tools/go.mod names.
func (s *Site) tools() *dagger.Directory {
	return s.golang().
		// Not used: it only comes first, since both builds side by side would each compile all of client-go.
		WithMountedFile("/tmp/mkprogram", s.programs().File("mkprogram")).
		WithMountedDirectory("/src", s.Tools).
		WithWorkdir("/src").
		WithExec([]string{"go", "build", "-ldflags", "-s -w", "-o", "/out/",
			"helm.sh/helm/v3/cmd/helm", "sigs.k8s.io/kustomize/kustomize/v5", "./kubectl"}).
		Directory("/out")
}
