// Package argocd runs Argo CD's application controller outside a cluster.
package argocd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	cmdutil "github.com/argoproj/argo-cd/v3/cmd/util"
	commitclient "github.com/argoproj/argo-cd/v3/commitserver/apiclient"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/controller"
	"github.com/argoproj/argo-cd/v3/controller/sharding"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	appclientset "github.com/argoproj/argo-cd/v3/pkg/client/clientset/versioned"
	"github.com/argoproj/argo-cd/v3/pkg/ratelimiter"
	"github.com/argoproj/argo-cd/v3/reposerver/apiclient"
	"github.com/argoproj/argo-cd/v3/util/argo"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	cacheutil "github.com/argoproj/argo-cd/v3/util/cache"
	"github.com/argoproj/argo-cd/v3/util/cache/appstate"
	"github.com/argoproj/argo-cd/v3/util/cli"
	kubeutil "github.com/argoproj/argo-cd/v3/util/kube"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/argoproj/argo-cd/v3/util/tls"
)

// What the flags of Argo CD's own command default to, where nothing here says otherwise.
const (
	resyncPeriod      = 120 * time.Second
	resyncJitter      = 60 * time.Second
	repoErrorGrace    = resyncPeriod + resyncJitter
	memoryCache       = 10 * time.Minute
	repoServerTimeout = 60 // seconds
	kubectlParallel   = 20
	selfHealFirst     = 2 * time.Second
	selfHealFactor    = 3
	selfHealLast      = 300 * time.Second
	// A handful of Applications, not thousands.
	statusProcessors    = 10
	operationProcessors = 5
	hydrateProcessors   = 1
)

// ApplicationController is Argo CD's application controller. It stands in for Argo CD's own command for one reason: that
// one serves its metrics on every address of the machine, and has no flag against it; here nothing listens but on loopback.
func ApplicationController(ctx context.Context, args []string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	command := &cobra.Command{Use: common.CommandApplicationController, SilenceUsage: true}
	clientConfig := cli.AddKubectlFlagsToCmd(command)
	newCache := appstate.AddCacheFlagsToCmd(command, cacheutil.Options{})
	newTLS := tls.AddClientTLSFlagsToCmdWithPrefix(command, "APPLICATION_CONTROLLER")
	repoServer := command.Flags().String("repo-server", "", "`address` of the repository server")
	logLevel := command.Flags().String("loglevel", "info", "debug|info|warn|error")
	metricsPort := command.Flags().Int("metrics-port", 0, "loopback `port` of the metrics")
	command.RunE = func(*cobra.Command, []string) error {
		cmdutil.LogFormat, cmdutil.LogLevel = "json", *logLevel
		cli.SetLogFormat(cmdutil.LogFormat)
		cli.SetLogLevel(cmdutil.LogLevel)
		namespace, _, err := clientConfig.Namespace()
		if err != nil {
			return fmt.Errorf("namespace: %w", err)
		}
		config, err := clientConfig.ClientConfig()
		if err != nil {
			return fmt.Errorf("kubeconfig: %w", err)
		}
		if err := v1alpha1.SetK8SConfigDefaults(config); err != nil {
			return err
		}
		// The user agent tells Argo CD's requests from others in the audit log.
		config.UserAgent = common.DefaultApplicationControllerName
		kube, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		apps, err := appclientset.NewForConfig(config)
		if err != nil {
			return err
		}
		tlsConfig, err := newTLS()
		if err != nil {
			return err
		}
		cache, err := newCache()
		if err != nil {
			return err
		}
		cache.Cache.SetClient(cacheutil.NewTwoLevelClient(cache.Cache.GetClient(), memoryCache))

		var c *controller.ApplicationController
		manager := settings.NewSettingsManager(ctx, kube, namespace, settings.WithRepoOrClusterChangedHandler(func() {
			if c != nil {
				c.InvalidateProjectsCache()
			}
		}))
		shards, err := sharding.GetClusterSharding(kube, manager, common.DefaultShardingAlgorithm, false)
		if err != nil {
			return fmt.Errorf("sharding: %w", err)
		}
		c, err = controller.NewApplicationController(
			namespace, manager, kube, apps,
			apiclient.NewRepoServerClientset(*repoServer, repoServerTimeout, tlsConfig),
			commitclient.NewCommitServerClientset(common.DefaultCommitServerAddr),
			cache, kubeutil.NewKubectl(),
			resyncPeriod, 0, resyncJitter,
			0, &wait.Backoff{Duration: selfHealFirst, Factor: selfHealFactor, Cap: selfHealLast},
			0, repoErrorGrace,
			*metricsPort, 0, nil, nil, nil,
			kubectlParallel, false, shards, nil,
			&ratelimiter.AppControllerRateLimiterConfig{
				BucketSize: 500, BucketQPS: math.MaxFloat64,
				BaseDelay: time.Millisecond, MaxDelay: time.Second, BackoffFactor: 1.5,
			},
			false, false,
			normalizers.IgnoreNormalizerOpts{},
			argo.DefaultEnableEventList(),
			false,
		)
		if err != nil {
			return err
		}
		c.GetMetricsServer().Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(*metricsPort))
		c.Run(ctx, statusProcessors, operationProcessors, hydrateProcessors)
		if ctx.Err() == nil {
			return errors.New("the controller ended by itself")
		}
		return nil
	}
	command.SetArgs(args)
	return command.ExecuteContext(ctx)
}
