package existing

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/idp-blueprint/idp/internal/cluster"
)

// newCluster is an API server that knows just enough, and a kubeconfig with its context `lab`.
func newCluster(t *testing.T, records string) string {
	t.Helper()
	return newMarkedCluster(t, records, `{}`)
}

// newMarkedCluster has the mark of a cluster that plays some of its parts, or something that is none.
func newMarkedCluster(t *testing.T, records, mark string) string {
	t.Helper()
	answers := map[string]string{
		"/version":                                 `{"gitVersion": "v1.36.1"}`,
		"/api/v1/namespaces/kube-system":           `{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "kube-system", "uid": "u-1"}}`,
		"/api/v1/namespaces/idp-system/configmaps": records,
	}
	const marked = "/api/v1/namespaces/kube-public/configmaps/idp-cluster"
	if answers[marked] = mark; mark == "{}" {
		answers[marked] = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}`
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok || r.Method != http.MethodGet {
			http.Error(w, "unexpected "+r.Method+" "+r.URL.Path, http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(answer, `"code": 404`) {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	config := api.NewConfig()
	config.Clusters["c"] = &api.Cluster{Server: server.URL}
	config.Contexts["lab"] = &api.Context{Cluster: "c"}
	config.Contexts["prod"] = &api.Context{Cluster: "c"}
	config.CurrentContext = "prod"
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, clientcmd.WriteToFile(*config, file))
	return file
}

const (
	noRecords = `{"kind": "ConfigMapList", "apiVersion": "v1", "items": []}`
	oneRecord = `{"kind": "ConfigMapList", "apiVersion": "v1", "items": [{"metadata": {"name": "layer-a"}}]}`
)

func TestUpAsksBeforeTheFirstWrite(t *testing.T) {
	refused := errors.New("no, thank you")
	for name, c := range map[string]struct {
		records string
		answer  error
		asked   bool
		want    error
	}{
		"new, yes":       {records: noRecords, asked: true},
		"new, no":        {records: noRecords, answer: refused, asked: true, want: refused},
		"known platform": {records: oneRecord, answer: refused},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			p := New(Spec{Kubeconfig: newCluster(t, c.records), Context: "lab", Confirm: func(info cluster.Info) error {
				asked = true
				require.Equal(t, cluster.Info{Name: "lab", Provider: "existing", Kubernetes: "v1.36.1", UID: "u-1", New: true}, info)
				return c.answer
			}})
			access, err := p.Up(t.Context(), func(cluster.Progress) {})
			require.Equal(t, c.asked, asked)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "lab", access.Context)
			require.Empty(t, access.Info.Simulated)
		})
	}
}

func TestUpWithoutAnyoneToAsk(t *testing.T) {
	_, err := New(Spec{Kubeconfig: newCluster(t, noRecords), Context: "lab"}).Up(t.Context(), func(cluster.Progress) {})
	require.ErrorContains(t, err, "nobody was asked")
}

func TestTheContextMustBeNamed(t *testing.T) {
	file := newCluster(t, noRecords)
	_, err := New(Spec{Kubeconfig: file}).Access(t.Context())
	require.ErrorContains(t, err, "--context NAME")
	_, err = New(Spec{Kubeconfig: file, Context: "labb"}).Access(t.Context())
	require.ErrorContains(t, err, `no context "labb"; there are lab, prod`)
	_, err = New(Spec{Kubeconfig: file + ".none", Context: "lab"}).Access(t.Context())
	require.ErrorContains(t, err, file+".none")
}

func TestDownRefuses(t *testing.T) {
	require.ErrorContains(t, New(Spec{Context: "lab"}).Down(t.Context(), nil), "was not made by idp")
}

func TestWhatIsSimulatedElsewhereIsSaidHere(t *testing.T) {
	marked := `{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "idp-cluster"}, "data": {"simulated": "[\"kubelet\", \"webhooks\"]"}}`
	access, err := New(Spec{Kubeconfig: newMarkedCluster(t, oneRecord, marked), Context: "lab"}).Access(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"kubelet", "webhooks"}, access.Info.Simulated)

	broken := `{"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "idp-cluster"}, "data": {"simulated": "some"}}`
	_, err = New(Spec{Kubeconfig: newMarkedCluster(t, oneRecord, broken), Context: "lab"}).Access(t.Context())
	require.ErrorContains(t, err, "ConfigMap kube-public/idp-cluster", "a doubt is no reason to take it for a real one")
}
