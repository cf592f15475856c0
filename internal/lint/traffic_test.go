package lint

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What policies say that the good platform's don't.
func TestLets(t *testing.T) {
	const policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: more}\nspec: {podSelector: {matchLabels: {app.kubernetes.io/name: store}}, "
	const cilium = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: more}\nspec: {endpointSelector: {matchLabels: {app.kubernetes.io/name: store}}, "
	for name, test := range map[string]struct {
		policy    string
		direction string
		entity    string // else the pods of web
		port      string
		want      bool
	}{
		"a port of nobody":                 {"", "ingress", "", "1234", false},
		"in a range":                       {"", "ingress", "", "7015", true},
		"above a range":                    {"", "ingress", "", "7021", false},
		"denied by the namespace":          {"", "egress", "", "1234", false},
		"denied without a rule":            {policy + "policyTypes: [Egress]}", "egress", "", "1234", false},
		"types by what is there":           {policy + "egress: [{ports: [{port: 53}]}]}", "egress", "", "1234", false},
		"no peer is anybody, also outside": {policy + "ingress: [{ports: [{port: 1234}]}]}", "ingress", "world", "1234", true},
		"pods aren't what is outside":      {policy + "ingress: [{from: [{namespaceSelector: {}}]}]}", "ingress", "world", "1234", false},
		"addresses aren't pods":            {policy + "ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}", "ingress", "", "1234", false},
		"the cluster's pods":               {cilium + "ingress: [{fromEntities: [cluster]}]}", "ingress", "", "1234", true},
		"everything":                       {cilium + "ingress: [{fromEntities: [all]}]}", "ingress", "world", "1234", true},
		"an entity":                        {cilium + "ingress: [{fromEntities: [world], toPorts: [{ports: [{port: '1234'}]}]}]}", "ingress", "world", "1234", true},
		"an entity, another port":          {cilium + "ingress: [{fromEntities: [world], toPorts: [{ports: [{port: '1'}]}]}]}", "ingress", "world", "1234", false},
		"endpoints with their namespace":   {cilium + "ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': apps}}]}]}", "ingress", "", "1234", true},
		"endpoints elsewhere":              {cilium + "ingress: [{fromEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': base}}]}]}", "ingress", "", "1234", false},
		"no party named":                   {cilium + "ingress: [{toPorts: [{ports: [{port: '1234'}]}]}]}", "ingress", "", "1234", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := good(t)
			if test.policy != "" {
				s.add("apps-shop", test.policy)
			}
			w := newWorld(s.Input)
			of, other := podNamed(t, w, "store"), party{entity: test.entity}
			if test.entity == "" {
				other = party{pod: podNamed(t, w, "web")}
			}
			require.Equal(t, test.want, w.lets(of, test.direction, other, of.door(test.port, "TCP")))
		})
	}
}

func podNamed(t *testing.T, w *world, name string) *pod {
	t.Helper()
	for _, p := range w.pods {
		if p.owner.GetName() == name {
			return p
		}
	}
	require.Fail(t, "no such pod", name)
	return nil
}

// A node's own network passes no policy.
func TestThePodsOfTheHostAreNotShutOff(t *testing.T) {
	s := good(t)
	s.set("Deployment/shop", podSpec+"hostNetwork", "true")
	w := newWorld(s.Input)
	require.True(t, w.lets(podNamed(t, w, "shop"), "ingress", party{entity: "world"}, door{"", "1", "TCP"}))
}

func TestWhoNeedsNoWayToTheAPIServer(t *testing.T) {
	for name, change := range map[string]func(s *small){
		"no token":       func(s *small) { s.set("Deployment/shop", podSpec+"automountServiceAccountToken", "false") },
		"none by itself": func(s *small) { s.set("ServiceAccount/shop", "automountServiceAccountToken", "false") },
		"no rights":      func(s *small) { s.remove("RoleBinding/shop") },
		"an empty role": func(s *small) {
			s.add("apps-shop", "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: nothing}\nrules: []")
			s.set("RoleBinding/shop", "roleRef", "{apiGroup: rbac.authorization.k8s.io, kind: Role, name: nothing}")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := good(t)
			s.set("CiliumNetworkPolicy/shop", "spec.egress", "[]")
			change(s)
			require.Empty(t, Run(s.Input))
		})
	}
}

// A revision for itself, and over the nodes that take the pods, leaves room for the pod that a roll-out adds.
func TestASpreadThatLetsARollOutEnd(t *testing.T) {
	for name, change := range map[string]func(s *small){
		"a revision for itself": func(s *small) {
			s.set(deployment, podSpec+"topologySpreadConstraints.0.matchLabelKeys", "[pod-template-hash]")
		},
		"over nodes it may be on": func(s *small) { s.set(deployment, podSpec+"topologySpreadConstraints.0.nodeTaintsPolicy", "Honor") },
		"one away before another": func(s *small) {
			s.set(deployment, "spec.strategy", "{rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}")
		},
		"all away first": func(s *small) { s.set(deployment, "spec.strategy", "{type: Recreate}") },
	} {
		t.Run(name, func(t *testing.T) {
			s := good(t)
			s.set(deployment, podSpec+"tolerations", "[]")
			s.set(deployment, podSpec+"topologySpreadConstraints.0.whenUnsatisfiable", "DoNotSchedule")
			change(s)
			require.Empty(t, Run(s.Input))
		})
	}
}

func TestABackendTLSPolicyLetsTheGatewaySpeakTLS(t *testing.T) {
	s := good(t)
	s.set("HTTPRoute/shop", "spec.rules.0.backendRefs.0.port", "443")
	s.add("base", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: backendtlspolicies.gateway.networking.k8s.io}\n"+
		"spec: {group: gateway.networking.k8s.io, scope: Namespaced, names: {kind: BackendTLSPolicy}, versions: [{name: v1, served: true}]}")
	s.add("apps-shop", "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: shop}\nspec: {targetRefs: [{group: '', kind: Service, name: shop}]}")
	require.Empty(t, Run(s.Input))
}
