package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// NodeSpec is one node of the --nodes file, which is a JSON list of them.
type NodeSpec struct {
	Name   string            `json:"name"`
	Pool   string            `json:"pool"`
	CPU    string            `json:"cpu"`    // a quantity, e.g. "2"
	Memory string            `json:"memory"` // a quantity, e.g. "4Gi"
	Labels map[string]string `json:"labels,omitempty"`
	Taints []corev1.Taint    `json:"taints,omitempty"`
}

// specAnnotation keeps the NodeSpec that was applied last, to tell our labels and taints from those that controllers and people add.
const specAnnotation = "idp.dev/node"

const (
	podsPerNode = "110"
	diskPerNode = "64Gi"
)

// readNodes reads and checks the --nodes file.
func readNodes(path string) ([]NodeSpec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of nodes: %w", err)
	}
	nodes, err := parseNodes(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return nodes, nil
}

func parseNodes(data []byte) ([]NodeSpec, error) {
	var nodes []NodeSpec
	if err := json.Unmarshal(data, &nodes); err != nil {
		return nil, fmt.Errorf("parse the list of nodes: %w", err)
	}
	if len(nodes) > 250 {
		return nil, fmt.Errorf("%d nodes: the simulated network has addresses for 250", len(nodes))
	}
	seen := map[string]bool{}
	for i, n := range nodes {
		if n.Name == "" || seen[n.Name] {
			return nil, fmt.Errorf("node %d: name %q is empty or used twice", i, n.Name)
		}
		seen[n.Name] = true
		for what, q := range map[string]string{"cpu": n.CPU, "memory": n.Memory} {
			if v, err := resource.ParseQuantity(q); err != nil || v.Sign() <= 0 {
				return nil, fmt.Errorf("node %s: %s %q isn't a positive quantity", n.Name, what, q)
			}
		}
	}
	return nodes, nil
}

// labels are all labels that the spec gives a node, but NodeLabel.
func (n NodeSpec) labels() map[string]string {
	out := map[string]string{
		corev1.LabelHostname:   n.Name,
		corev1.LabelOSStable:   "linux",
		corev1.LabelArchStable: runtime.GOARCH,
	}
	if n.Pool != "" {
		out[poolLabel] = n.Pool
	}
	maps.Copy(out, n.Labels)
	return out
}

func (n NodeSpec) capacity() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse(n.CPU),
		corev1.ResourceMemory:           resource.MustParse(n.Memory),
		corev1.ResourcePods:             resource.MustParse(podsPerNode),
		corev1.ResourceEphemeralStorage: resource.MustParse(diskPerNode),
	}
}

// newNode is the object a kubelet would register. index, unique among the nodes, gives the node its addresses.
func newNode(n NodeSpec, index int, version string) (*corev1.Node, error) {
	spec, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", n.Name, err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: n.labels(), Annotations: map[string]string{}}}
	node.Labels[NodeLabel] = nodeLabelValue
	node.Annotations[Annotation] = "kubelet"
	node.Annotations[specAnnotation] = string(spec)
	node.Spec.PodCIDR = fmt.Sprintf("10.244.%d.0/24", index)
	node.Spec.PodCIDRs = []string{node.Spec.PodCIDR}
	node.Spec.ProviderID = "simulated://" + n.Name
	node.Spec.Taints = slices.Clone(n.Taints)
	setNodeStatus(node, n, index, version)
	return node, nil
}

func setNodeStatus(node *corev1.Node, n NodeSpec, index int, version string) {
	node.Status.Capacity = n.capacity()
	node.Status.Allocatable = n.capacity()
	node.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("10.243.0.%d", index+1)},
		{Type: corev1.NodeHostName, Address: n.Name},
	}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	node.Status.NodeInfo = corev1.NodeSystemInfo{
		MachineID: n.Name, SystemUUID: n.Name, BootID: n.Name,
		KernelVersion: "simulated", OSImage: "simulated", ContainerRuntimeVersion: "simulated://0",
		KubeletVersion: version, OperatingSystem: "linux", Architecture: runtime.GOARCH,
	}
}

// updateNode changes what the spec says on an existing node, and leaves alone what others put there: taints of the node
// lifecycle controller, a cordon, a label taken off to silence the node.
func updateNode(node *corev1.Node, n NodeSpec) error {
	var last NodeSpec
	if text := node.Annotations[specAnnotation]; text != "" {
		if err := json.Unmarshal([]byte(text), &last); err != nil {
			return fmt.Errorf("node %s: parse annotation %s: %w", n.Name, specAnnotation, err)
		}
	}
	spec, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	for k := range last.Labels {
		delete(node.Labels, k)
	}
	maps.Copy(node.Labels, n.labels())
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	node.Annotations[Annotation] = "kubelet"
	node.Annotations[specAnnotation] = string(spec)
	same := func(a corev1.Taint) func(corev1.Taint) bool {
		return func(b corev1.Taint) bool { return a.Key == b.Key && a.Effect == b.Effect }
	}
	var taints []corev1.Taint
	for _, t := range node.Spec.Taints {
		if !slices.ContainsFunc(last.Taints, same(t)) && !slices.ContainsFunc(n.Taints, same(t)) {
			taints = append(taints, t)
		}
	}
	node.Spec.Taints = append(taints, n.Taints...)
	return nil
}

// syncNodes makes the cluster's simulated nodes those of the list.
func syncNodes(ctx context.Context, client kubernetes.Interface, specs []NodeSpec, version string) error {
	api := client.CoreV1().Nodes()
	list, err := api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	existing := map[string]*corev1.Node{}
	used := map[int]bool{}
	for i := range list.Items {
		node := &list.Items[i]
		existing[node.Name] = node
		used[nodeIndex(node)] = true
	}
	wanted := map[string]bool{}
	var failed []error
	next := 0
	for _, n := range specs {
		wanted[n.Name] = true
		if node := existing[n.Name]; node != nil {
			failed = append(failed, changeNode(ctx, client, n, version, nodeIndex(node)))
			continue
		}
		for used[next] {
			next++
		}
		used[next] = true
		node, err := newNode(n, next, version)
		if err == nil {
			_, err = api.Create(ctx, node, metav1.CreateOptions{FieldManager: fieldManager})
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("create node %s: %w", n.Name, err))
		}
	}
	for name, node := range existing {
		if wanted[name] || node.Annotations[Annotation] == "" {
			continue
		}
		if err := api.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			failed = append(failed, fmt.Errorf("remove node %s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func changeNode(ctx context.Context, client kubernetes.Interface, n NodeSpec, version string, index int) error {
	api := client.CoreV1().Nodes()
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node, err := api.Get(ctx, n.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		old := node.DeepCopy()
		if err := updateNode(node, n); err != nil {
			return err
		}
		if !equality.Semantic.DeepEqual(old, node) {
			if node, err = api.Update(ctx, node, metav1.UpdateOptions{FieldManager: fieldManager}); err != nil {
				return err
			}
		}
		old = node.DeepCopy()
		setNodeStatus(node, n, index, version)
		if equality.Semantic.DeepEqual(old, node) {
			return nil
		}
		_, err = api.UpdateStatus(ctx, node, metav1.UpdateOptions{FieldManager: fieldManager})
		return err
	})
	if err != nil {
		return fmt.Errorf("update node %s: %w", n.Name, err)
	}
	return nil
}

// nodeIndex reads a node's index back from its pod range, so that addresses stay when the list changes.
func nodeIndex(node *corev1.Node) int {
	var index int
	if !strings.HasPrefix(node.Spec.PodCIDR, "10.244.") {
		return -1
	}
	if _, err := fmt.Sscanf(node.Spec.PodCIDR, "10.244.%d.0/24", &index); err != nil {
		return -1
	}
	return index
}
