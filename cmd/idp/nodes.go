package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/idp-blueprint/idp/internal/platform"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// readNodes lists the nodes with what their pods request. A pod that ended or isn't bound to a node requests nothing.
func readNodes(ctx context.Context, cfg *rest.Config) ([]nodeReport, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the nodes: %w", err)
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"})
	if err != nil {
		return nil, fmt.Errorf("listing the pods: %w", err)
	}
	requested := map[string]corev1.ResourceList{}
	for _, pod := range pods.Items {
		addTo(requested, pod.Spec.NodeName, podRequests(pod))
	}
	reports := []nodeReport{}
	for _, n := range nodes.Items {
		reports = append(reports, nodeReport{
			Name: n.Name, Pool: n.Labels[platform.PoolLabel], Ready: nodeReady(n),
			Capacity:  amounts(n.Status.Capacity),
			Requested: amounts(requested[n.Name]),
		})
	}
	return reports, nil
}

// podRequests is what the scheduler counts: the containers and sidecars together, or the largest init container where that is
// more, plus the overhead.
func podRequests(pod corev1.Pod) corev1.ResourceList {
	total := corev1.ResourceList{}
	for _, c := range pod.Spec.Containers {
		add(total, c.Resources.Requests)
	}
	largest := corev1.ResourceList{}
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(total, c.Resources.Requests)
			continue
		}
		atLeast(largest, c.Resources.Requests)
	}
	atLeast(total, largest)
	add(total, pod.Spec.Overhead)
	return total
}

func addTo(sums map[string]corev1.ResourceList, key string, list corev1.ResourceList) {
	if sums[key] == nil {
		sums[key] = corev1.ResourceList{}
	}
	add(sums[key], list)
}

func add(sum, list corev1.ResourceList) {
	for name, quantity := range list {
		value := sum[name]
		value.Add(quantity)
		sum[name] = value
	}
}

func atLeast(most, list corev1.ResourceList) {
	for name, quantity := range list {
		if value := most[name]; value.Cmp(quantity) < 0 {
			most[name] = quantity
		}
	}
}

func amounts(list corev1.ResourceList) resources {
	return resources{CPU: list.Cpu().String(), Memory: inMi(list.Memory())}
}

// inMi gives a memory quantity in MiB, since sums of mixed units otherwise print as bare bytes.
func inMi(q *resource.Quantity) string {
	return fmt.Sprintf("%dMi", q.Value()>>20)
}

func nodeReady(n corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func firstLine(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first
}
