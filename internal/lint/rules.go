package lint

// Rule is one thing that is checked. Its Title says what must hold.
type Rule struct {
	ID    string
	Title string
	check func(w *world, report report)
}

// report takes a finding: the object, what is wrong with it, what to do.
type report func(o *object, message, fix string)

// rules are the checks of rendered objects. Each check's comment says what fails where it doesn't hold.
func rules() []Rule {
	return []Rule{
		{"malformed", "Objects are what the API server can decode", malformed},
		{"own-selector", "Workloads select their own pods", ownSelector},
		{"duplicate-object", "An object is rendered once", duplicates},
		{"labels", "Workloads, their pods and namespaces carry the standard labels", standardLabels},
		{"image-registry", "Images name their registry", imageRegistry},
		{"image-tag", "Images are pinned", imageTag},
		{"requests", "Containers request CPU and memory", requests},
		{"memory-limit", "Containers have a memory limit", memoryLimit},
		{"readiness-probe", "What serves a port says when it is ready", readiness},
		{"priority-class", "Pods name a PriorityClass that exists", priorityClass},
		{"toleration", "Tolerations are of taints that a node has", tolerations},
		{"node-label", "Pods ask for node labels that a node has", nodeLabels},
		{"spread-missing", "Replicas are kept on different nodes", spreadMissing},
		{"spread-blocks", "Replicas that must be apart have nodes enough, also while they are replaced", spreadBlocks},
		{"pdb-missing", "What has replicas has a PodDisruptionBudget", budgetMissing},
		{"pdb-blocks", "A PodDisruptionBudget lets a node be drained", budgetBlocks},
		{"pdb-selects-nothing", "A PodDisruptionBudget has pods", budgetIdle},
		{"host-access", "Pods keep off the host", hostAccess},
		{"pod-security", "Pods meet the Pod Security level of their namespace", podSecurity},
		{"namespace-missing", "Pods go to namespaces that the platform makes", namespaceMissing},
		{"namespace-pod-security", "Namespaces enforce a Pod Security level", namespacePodSecurity},
		{"namespace-quota", "Namespaces have a ResourceQuota", namespaceQuota},
		{"quota-exceeded", "The pods of a namespace fit its quota", quotaExceeded},
		{"namespace-limits", "Namespaces have a LimitRange", namespaceLimits},
		{"namespace-default-deny", "Namespaces deny traffic that nobody listed", namespaceDefaultDeny},
		{"network-policy-selects-nothing", "Network policies have pods", policyIdle},
		{"network-policy-peer", "Network policies name peers that exist", policyPeer},
		{"flow-half", "What a policy lets out another lets in, and the other way round", flowHalf},
		{"monitor-blocked", "Prometheus reaches what it scrapes", monitorBlocked},
		{"route-blocked", "The gateway reaches what routes lead to", routeBlocked},
		{"route-tls", "Routes speak TLS to what speaks nothing else", routeTLS},
		{"webhook-blocked", "The API server reaches webhooks", webhookBlocked},
		{"api-blocked", "Controllers reach the API server", apiBlocked},
		{"route-backend", "Routes lead to a Service and port that exist", routeBackend},
		{"route-parent", "Routes attach to a Gateway and listener that exist", routeParent},
		{"service-selects-nothing", "Services have pods", serviceIdle},
		{"project-forbids", "Projects allow what their stack makes", projectForbids},
		{"project-idle", "Projects allow nothing else", projectIdle},
		{"secret-store", "External secrets use a store that exists", secretStore},
		{"secret-key", "External secrets read paths and keys that are seeded", secretKey},
		{"gate-missing", "Layers wait for their secrets and certificates", gateMissing},
		{"certificate-lifetime", "No certificate outlives who signed it", certificateLifetime},
		{"crd-missing", "Custom resources have a CustomResourceDefinition", crdMissing},
		{"crd-order", "CustomResourceDefinitions come before their resources", crdOrder},
		{"monitor-selects-nothing", "Monitors have something to scrape", monitors},
		{"rule-expression", "Prometheus rules parse", promRules},
	}
}

// The rules that are about files, not objects. They can't be excepted.
const (
	ruleUnknownValues    = "unknown-values"
	ruleIdleGate         = "gate-idle"
	ruleExceptionReason  = "exception-reason"
	ruleExceptionRule    = "exception-rule"
	ruleExceptionStale   = "exception-stale"
	ruleExceptionExpired = "exception-expired"
)

// Rules are all rules, for reports that list them.
func Rules() []Rule {
	return append(rules(),
		Rule{ID: ruleUnknownValues, Title: "Values files have keys that a chart knows"},
		Rule{ID: ruleIdleGate, Title: "Gates have something to wait for"},
		Rule{ID: ruleExceptionReason, Title: "Exceptions have a reason"},
		Rule{ID: ruleExceptionRule, Title: "Exceptions name a rule"},
		Rule{ID: ruleExceptionStale, Title: "Exceptions let something pass"},
		Rule{ID: ruleExceptionExpired, Title: "Exceptions aren't over"},
	)
}
