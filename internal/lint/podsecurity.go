package lint

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// hostAccess: a pod that shares the node's file system, network or processes can do there what the node can. Each needs a reason,
// in its component's lint.yaml.
func hostAccess(w *world, report report) {
	for _, p := range w.pods {
		if p.made || !p.ours() {
			continue
		}
		if uses := hostUses(p); len(uses) > 0 {
			report(p.owner, "its pods use the host: "+strings.Join(uses, ", "), "turn it off, or give the reason in lint.yaml beside the component's Chart.yaml")
		}
	}
}

func hostUses(p *pod) []string {
	var uses []string
	spec := p.template.Spec
	for _, use := range []struct {
		name string
		on   bool
	}{{"hostNetwork", spec.HostNetwork}, {"hostPID", spec.HostPID}, {"hostIPC", spec.HostIPC}} {
		if use.on {
			uses = append(uses, use.name)
		}
	}
	for _, v := range spec.Volumes {
		if v.HostPath != nil {
			uses = append(uses, "hostPath "+v.HostPath.Path)
		}
	}
	for _, c := range p.containers() {
		for _, port := range c.Ports {
			// With hostNetwork every port is the host's anyway.
			if port.HostPort != 0 && !spec.HostNetwork {
				uses = append(uses, fmt.Sprintf("hostPort %d", port.HostPort))
			}
		}
	}
	slices.Sort(uses)
	return slices.Compact(uses)
}

// podSecurity: Pod Security admission refuses such pods, and the workload stays at none: no error shows but in the events of its
// ReplicaSet. It is decided by the policy library that the API server itself uses.
func podSecurity(w *world, report report) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err) // the library's own checks
	}
	for _, p := range w.pods {
		level, err := api.ParseLevel(w.namespaces[p.namespace].Get(api.EnforceLevelLabel))
		if p.made || !p.ours() || err != nil {
			continue
		}
		results := evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &p.template.ObjectMeta, &p.template.Spec)
		if verdict := policy.AggregateCheckResults(results); !verdict.Allowed {
			report(p.owner, fmt.Sprintf("its pods violate the level %s of their namespace: %s", level, verdict.ForbiddenDetail()),
				"set its securityContext, or give the namespace another level with a reason")
		}
	}
}
