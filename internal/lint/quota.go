package lint

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// quotaExceeded: the pods that don't fit their namespace's quota are never made. Their workload stays at fewer replicas, and only the
// events of its ReplicaSet say why. Pods that end (Jobs, scans, pipelines) come on top and aren't counted.
func quotaExceeded(w *world, report report) {
	for _, o := range w.objects {
		if !o.is("", "ResourceQuota") || nestedMap(o.Object.Object, "spec")["scopes"] != nil || nestedMap(o.Object.Object, "spec")["scopeSelector"] != nil {
			continue // a scope counts some pods only
		}
		hard := nestedMap(o.Object.Object, "spec", "hard")
		sums := w.sums(o.namespace)
		for _, name := range slices.Sorted(maps.Keys(hard)) {
			sum, counted := sums[name]
			limit, err := resource.ParseQuantity(fmt.Sprint(hard[name]))
			if counted && err == nil && sum.Cmp(limit) > 0 {
				report(o, fmt.Sprintf("the pods of %s take %s of %s, and it allows %s", o.namespace, sum.String(), name, limit.String()),
					"raise the quota, or let the pods take less")
			}
		}
	}
}

// sums are what the pods of a namespace take, by the names that quotas have for it, with room for one more of those that a roll-out adds
// before it takes one away: without it the roll-out would hang.
func (w *world) sums(namespace string) map[string]resource.Quantity {
	sums, extra := map[string]resource.Quantity{}, map[string]resource.Quantity{}
	for _, p := range w.pods {
		if p.namespace != namespace || !p.longRunning() {
			continue
		}
		times := p.replicas
		if p.kind == "DaemonSet" {
			times = int64(w.nodeCount())
		}
		for name, amount := range p.quotas() {
			sum := sums[name]
			for range times {
				sum.Add(amount)
			}
			sums[name] = sum
			if most := extra[name]; p.surges() && amount.Cmp(most) > 0 {
				extra[name] = amount
			}
		}
	}
	for name, amount := range extra {
		sum := sums[name]
		sum.Add(amount)
		sums[name] = sum
	}
	return sums
}

// quotas is what one pod takes of each quota.
func (p *pod) quotas() map[string]resource.Quantity {
	taken := map[string]resource.Quantity{"pods": resource.MustParse("1")}
	requests := p.takes(func(c corev1.Container) corev1.ResourceList { return c.Resources.Requests })
	limits := p.takes(func(c corev1.Container) corev1.ResourceList { return c.Resources.Limits })
	for name, amount := range requests {
		taken[string(name)], taken["requests."+string(name)] = amount, amount
	}
	for name, amount := range limits {
		taken["limits."+string(name)] = amount
	}
	return taken
}

// takes is what the scheduler and quotas count for a pod: all containers that run side by side, or the largest that runs alone before them.
func (p *pod) takes(of func(corev1.Container) corev1.ResourceList) map[corev1.ResourceName]resource.Quantity {
	sums := map[corev1.ResourceName]resource.Quantity{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		var together, alone resource.Quantity
		for _, c := range p.template.Spec.InitContainers {
			if sidecar(c) {
				together.Add(of(c)[name])
				continue
			}
			before := together.DeepCopy()
			before.Add(of(c)[name])
			if before.Cmp(alone) > 0 {
				alone = before
			}
		}
		for _, c := range p.template.Spec.Containers {
			together.Add(of(c)[name])
		}
		if alone.Cmp(together) > 0 {
			together = alone
		}
		sums[name] = together
	}
	return sums
}
