package supervisor

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/idp-blueprint/idp/embedded/pki"
	"github.com/idp-blueprint/idp/embedded/state"
)

// masters is the group that may do anything. Stand-ins for charts bring no RBAC, so the identities that would get their
// rights from a chart, and the controller manager, which runs its controllers under one identity here, are in it.
const masters = "system:masters"

// serviceIP is the first address of serviceRange: the Service `kubernetes`.
const (
	serviceRange = "10.96.0.0/12"
	serviceIP    = "10.96.0.1"
)

// client is an identity with a kubeconfig.
type client struct {
	file string // base name of certificate, key and kubeconfig
	user string
}

func clients() map[string]client {
	return map[string]client{
		admin:             {file: "admin", user: "idp-admin"},
		controllerManager: {file: controllerManager, user: "system:kube-controller-manager"},
		scheduler:         {file: scheduler, user: "system:kube-scheduler"},
		simulator:         {file: simulator, user: "idp-simulator"},
		appController:     {file: appController, user: "argocd-application-controller"},
		applicationSet:    {file: applicationSet, user: "argocd-applicationset-controller"},
		"supervisor":      {file: "supervisor", user: "idp-supervisor"},
	}
}

// keyring is the cluster's certificates and keys, as files.
type keyring struct {
	layout     state.Layout
	cluster    *pki.Authority
	frontProxy *pki.Authority
	argocd     *pki.Authority

	serverCert, serverKey     string
	proxyCert, proxyKey       string
	tokenPrivate, tokenPublic string
}

func newKeyring(layout state.Layout) (*keyring, error) {
	k := &keyring{layout: layout}
	var err error
	if err := os.MkdirAll(layout.PKI("argocd"), 0o700); err != nil {
		return nil, err
	}
	if k.cluster, err = pki.Open(layout.PKI(), "ca"); err != nil {
		return nil, err
	}
	if k.frontProxy, err = pki.Open(layout.PKI(), "front-proxy-ca"); err != nil {
		return nil, err
	}
	if k.argocd, err = pki.Open(layout.PKI("argocd"), "ca"); err != nil {
		return nil, err
	}
	if k.serverCert, k.serverKey, err = k.cluster.Issue(apiServer, pki.Identity{Name: apiServer, Server: []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", state.Loopback, serviceIP,
	}}); err != nil {
		return nil, err
	}
	if k.proxyCert, k.proxyKey, err = k.frontProxy.Issue("front-proxy-client", pki.Identity{Name: "front-proxy-client"}); err != nil {
		return nil, err
	}
	if k.tokenPrivate, k.tokenPublic, err = pki.KeyPair(layout.PKI(), "service-account"); err != nil {
		return nil, err
	}
	for _, c := range clients() {
		id := pki.Identity{Name: c.user, Groups: []string{masters}}
		if c.file == scheduler {
			id.Groups = nil // RBAC knows this user
		}
		if _, _, err := k.cluster.Issue(c.file, id); err != nil {
			return nil, err
		}
	}
	// The repository server and its clients know each other by an authority of their own.
	for file, id := range map[string]pki.Identity{
		"server":       {Name: repoServer, Server: []string{"localhost", state.Loopback}},
		appController:  {Name: appController},
		applicationSet: {Name: applicationSet},
	} {
		if _, _, err := k.argocd.Issue(file, id); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// kubeconfigFile is the kubeconfig of an identity.
func (k *keyring) kubeconfigFile(identity string) string {
	if identity == admin {
		return k.layout.Kubeconfig()
	}
	return k.layout.PKI(clients()[identity].file + ".kubeconfig")
}

// writeKubeconfigs writes every identity's kubeconfig for an API server at address (host:port).
func (k *keyring) writeKubeconfigs(cluster, address string) error {
	for identity, c := range clients() {
		cert, err := os.ReadFile(k.layout.PKI(c.file + ".crt"))
		if err != nil {
			return err
		}
		key, err := os.ReadFile(k.layout.PKI(c.file + ".key"))
		if err != nil {
			return err
		}
		name := "idp-" + cluster
		config := api.NewConfig()
		config.Clusters[name] = &api.Cluster{Server: "https://" + address, CertificateAuthorityData: k.cluster.CertPEM()}
		config.AuthInfos[name] = &api.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
		config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
		config.CurrentContext = name
		data, err := clientcmd.Write(*config)
		if err != nil {
			return fmt.Errorf("kubeconfig of %s: %w", identity, err)
		}
		if err := state.WriteFile(k.kubeconfigFile(identity), data); err != nil {
			return fmt.Errorf("kubeconfig of %s: %w", identity, err)
		}
	}
	return nil
}

// restConfig is the supervisor's own access to the API server.
func (k *keyring) restConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", k.kubeconfigFile("supervisor"))
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return config, nil
}
