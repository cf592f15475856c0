package simulator

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// addresses gives pods their addresses. KWOK's own pools forget, over a restart, what is in use; these ask the cluster.
type addresses struct {
	inUse func(ctx context.Context, node string) (map[netip.Addr]bool, error)

	mu    sync.Mutex
	pools map[string]*pool
}

// pool hands out the addresses of one node's range in order; at its end it starts over with what is free by then.
type pool struct {
	next  netip.Addr
	used  map[netip.Addr]bool
	given map[string]netip.Addr // by pod UID: a stage that is played again must not give a second address
}

func newAddresses(client kubernetes.Interface) *addresses {
	return &addresses{pools: map[string]*pool{}, inUse: func(ctx context.Context, node string) (map[netip.Addr]bool, error) {
		list, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String(), ResourceVersion: "0",
		})
		if err != nil {
			return nil, fmt.Errorf("list the pods of node %s: %w", node, err)
		}
		used := map[netip.Addr]bool{}
		for _, p := range list.Items {
			if a, err := netip.ParseAddr(p.Status.PodIP); err == nil {
				used[a] = true
			}
		}
		return used, nil
	}}
}

// Next returns a free address of the node's range (CIDR notation) for the pod of that UID, the same one when asked again.
func (a *addresses) Next(ctx context.Context, node, cidr, pod string) (string, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return "", fmt.Errorf("pod range of node %s: %w", node, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pools[node+" "+cidr]
	if p != nil {
		if got, ok := p.given[pod]; ok {
			return got.String(), nil
		}
	}
	for rounds := 0; rounds < 2; rounds++ {
		if p == nil {
			used, err := a.inUse(ctx, node)
			if err != nil {
				return "", err
			}
			p = &pool{next: prefix.Masked().Addr().Next().Next(), used: used, given: map[string]netip.Addr{}} // the first host address is the node's bridge
			a.pools[node+" "+cidr] = p
		}
		for ; prefix.Contains(p.next) && prefix.Contains(p.next.Next()); p.next = p.next.Next() { // the last is for broadcast
			if !p.used[p.next] {
				got := p.next
				p.used[got] = true
				p.given[pod] = got
				return got.String(), nil
			}
		}
		p = nil
	}
	return "", fmt.Errorf("node %s: no address is left in %s", node, cidr)
}
