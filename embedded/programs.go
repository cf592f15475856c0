package main

import (
	"context"
	"fmt"
	"os"

	appset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	kcm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"github.com/idp-blueprint/idp/embedded/argocd"
	"github.com/idp-blueprint/idp/embedded/repoclient"
	"github.com/idp-blueprint/idp/embedded/simulator"
	"github.com/idp-blueprint/idp/embedded/supervisor"
)

// program is one entry of the dispatch table. It runs until it is stopped; args are the arguments after its name.
type program func(ctx context.Context, args []string) error

// exitCode is the error of a program that has told the user already what went wrong.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func programs() map[string]program {
	return map[string]program{
		"supervise":                        supervisor.Main,
		"simulator":                        simulator.Main,
		"etcd":                             etcd,
		"kube-apiserver":                   kubernetes(apiserver.NewAPIServerCommand),
		"kube-controller-manager":          kubernetes(kcm.NewControllerManagerCommand),
		"kube-scheduler":                   kubernetes(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
		"argocd-application-controller":    argocd.ApplicationController,
		"argocd-applicationset-controller": command(appset.NewCommand),
		"argocd-repo-server":               command(reposerver.NewCommand),
		"render-manifests":                 renderManifests,
	}
}

// renderManifests is no part of a cluster: it answers what the repo server would, for comparison.
func renderManifests(ctx context.Context, _ []string) error {
	return repoclient.Main(ctx, os.Stdin, os.Stdout)
}

func etcd(_ context.Context, args []string) error {
	etcdmain.Main(append([]string{"etcd"}, args...))
	return nil
}

func kubernetes(newCommand func() *cobra.Command) program {
	return func(context.Context, []string) error {
		if code := cli.Run(newCommand()); code != 0 {
			return exitCode(code)
		}
		return nil
	}
}

func command(newCommand func() *cobra.Command) program {
	return func(ctx context.Context, args []string) error {
		c := newCommand()
		c.SetArgs(args)
		return c.ExecuteContext(ctx)
	}
}
