package simulator

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestParseNodes(t *testing.T) {
	tests := map[string]struct{ json, err string }{
		"fine":           {`[{"name":"infra-0","pool":"infra","cpu":"2","memory":"4Gi"}]`, ""},
		"none":           {`[]`, ""},
		"no JSON":        {`name: infra-0`, "parse the list of nodes"},
		"no name":        {`[{"cpu":"2","memory":"4Gi"}]`, `node 0: name "" is empty or used twice`},
		"twice":          {`[{"name":"a","cpu":"2","memory":"4Gi"},{"name":"a","cpu":"2","memory":"4Gi"}]`, `node 1: name "a" is empty or used twice`},
		"no quantity":    {`[{"name":"a","cpu":"two","memory":"4Gi"}]`, `node a: cpu "two" isn't a positive quantity`},
		"nothing to use": {`[{"name":"a","cpu":"2","memory":"0"}]`, `node a: memory "0" isn't a positive quantity`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parseNodes([]byte(tt.json))
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.err)
		})
	}
}

func FuzzParseNodes(f *testing.F) {
	f.Add([]byte(`[{"name":"infra-0","cpu":"2","memory":"4Gi","taints":[{"key":"a","effect":"NoSchedule"}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, err := parseNodes(data)
		for i := 0; err == nil && i < len(nodes); i++ {
			_, err := newNode(nodes[i], i, "v1.37.2")
			require.NoError(t, err)
		}
	})
}

func TestSyncNodes(t *testing.T) {
	ctx := context.Background()
	client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "somebody-elses"}})
	lifeboat := corev1.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}
	specs := []NodeSpec{
		{Name: "control-plane-0", Pool: "control-plane", CPU: "2", Memory: "4Gi", Taints: []corev1.Taint{lifeboat}, Labels: map[string]string{"zone": "a", "old": "1"}},
		{Name: "infra-0", Pool: "infra", CPU: "2", Memory: "4Gi"},
	}
	get := func(name string) *corev1.Node {
		node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		require.NoError(t, err)
		return node
	}

	require.NoError(t, syncNodes(ctx, client, specs, "v1.37.2"))
	node := get("control-plane-0")
	require.Equal(t, "kubelet", node.Annotations[Annotation])
	require.Equal(t, map[string]string{
		NodeLabel: "simulated", poolLabel: "control-plane", "zone": "a", "old": "1", corev1.LabelHostname: "control-plane-0",
		corev1.LabelOSStable: "linux", corev1.LabelArchStable: node.Status.NodeInfo.Architecture,
	}, node.Labels)
	require.Equal(t, "v1.37.2", node.Status.NodeInfo.KubeletVersion)
	require.Equal(t, "110", node.Status.Allocatable.Pods().String())
	require.Equal(t, "10.244.0.0/24", node.Spec.PodCIDR)
	require.Equal(t, "10.244.1.0/24", get("infra-0").Spec.PodCIDR)

	// What others put on a node stays; a label taken off to silence it isn't put back.
	lost := corev1.Taint{Key: "node.kubernetes.io/out-of-service", Effect: corev1.TaintEffectNoExecute}
	node.Spec.Taints = append(node.Spec.Taints, lost)
	delete(node.Labels, NodeLabel)
	node.Labels["by"] = "hand"
	_, err := client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
	require.NoError(t, err)
	dedicated := corev1.Taint{Key: "dedicated", Effect: corev1.TaintEffectNoExecute}
	specs[0].Taints, specs[0].Labels, specs[0].CPU = []corev1.Taint{dedicated}, map[string]string{"zone": "b"}, "4"
	specs[1] = NodeSpec{Name: "workload-0", CPU: "1", Memory: "1Gi"}
	require.NoError(t, syncNodes(ctx, client, specs, "v1.37.2"))

	node = get("control-plane-0")
	require.Equal(t, []corev1.Taint{lost, dedicated}, node.Spec.Taints)
	require.NotContains(t, node.Labels, NodeLabel)
	require.NotContains(t, node.Labels, "old")
	require.Equal(t, "hand", node.Labels["by"])
	require.Equal(t, "b", node.Labels["zone"])
	require.Equal(t, "4", node.Status.Capacity.Cpu().String())
	require.Equal(t, "10.244.0.0/24", node.Spec.PodCIDR)
	require.Equal(t, "10.243.0.3", get("workload-0").Status.Addresses[0].Address, "an index in use isn't given twice")
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	require.ElementsMatch(t, []string{"control-plane-0", "workload-0", "somebody-elses"}, names)

	// Nothing changed: nothing is written.
	client.ClearActions()
	require.NoError(t, syncNodes(ctx, client, specs, "v1.37.2"))
	for _, a := range client.Actions() {
		require.Contains(t, []string{"list", "get"}, a.GetVerb())
	}
}

func TestNodeSpecReadsTheFile(t *testing.T) {
	var n NodeSpec
	require.NoError(t, json.Unmarshal([]byte(`{"name":"a","pool":"p","cpu":"2","memory":"4Gi","labels":{"l":"1"},"taints":[{"key":"k","value":"v","effect":"NoSchedule"}]}`), &n))
	require.Equal(t, NodeSpec{Name: "a", Pool: "p", CPU: "2", Memory: "4Gi", Labels: map[string]string{"l": "1"},
		Taints: []corev1.Taint{{Key: "k", Value: "v", Effect: corev1.TaintEffectNoSchedule}}}, n)
}
