// Package apply brings rendered objects into a cluster the way Argo CD would: server-side, under Argo CD's field manager,
// with its phases, waves and hooks, so that Argo CD finds nothing to do when it takes over. It also removes what a component
// no longer has, and waits for gates.
package apply

// FieldManager is the name under which Argo CD applies objects server-side (common.ArgoCDSSAManager). Sharing it makes the
// ownership of every field the same before and after the hand-over.
const FieldManager = "argocd-controller"

// Annotations that Argo CD and Helm define, and that are honoured here.
const (
	annotationTracking         = "argocd.argoproj.io/tracking-id"
	annotationWave             = "argocd.argoproj.io/sync-wave"
	annotationOptions          = "argocd.argoproj.io/sync-options"
	annotationHook             = "argocd.argoproj.io/hook"
	annotationHookDelete       = "argocd.argoproj.io/hook-delete-policy"
	annotationHelmHook         = "helm.sh/hook"
	annotationHelmHookWeight   = "helm.sh/hook-weight"
	annotationHelmHookDelete   = "helm.sh/hook-delete-policy"
	annotationHelmResourceKeep = "helm.sh/resource-policy"
)
