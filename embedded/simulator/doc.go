// Package simulator plays the parts of a cluster that need containers, so that a real API server, scheduler and controllers
// can run the platform's own manifests on a machine that has none: kubelets (nodes and pods, by KWOK), a volume provisioner,
// the webhooks and aggregated APIs behind Services, and the controllers of custom resources.
//
// Nothing it makes passes for the real thing: objects carry the annotation idp.dev/simulated, conditions say "simulated" in
// their message, an admission answers with a warning, and GET /status on its socket lists all that was really stood in for.
package simulator

const (
	// Annotation marks every object that this package makes; its value names the part that was played.
	Annotation = "idp.dev/simulated"
	// NodeLabel selects the nodes that are kept alive. A node whose label is taken off falls silent, as if its machine were
	// lost: no lease, no status, no pod is started or finished on it.
	NodeLabel = "idp.dev/kubelet"
	// nodeLabelValue is NodeLabel's value on a living node.
	nodeLabelValue = "simulated"
	// poolLabel says which pool of platform.yaml a node belongs to.
	poolLabel = "idp.dev/pool"
	// fieldManager signs every field that this package writes.
	fieldManager = "idp-simulator"
)
