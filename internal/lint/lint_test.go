package lint

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/idp-blueprint/idp/internal/chart"
	"github.com/idp-blueprint/idp/internal/platform"
	"github.com/idp-blueprint/idp/internal/render"
)

// good is a small platform that nothing is wrong with.
func good(t *testing.T) *small {
	t.Helper()
	layers := []platform.Layer{
		{Component: platform.Component{Name: "base", App: "base", Namespace: "base", Path: "IT/base"}},
		{Component: platform.Component{Name: "gateway", App: "gateway", Namespace: "apps", Path: "IT/gateway"}, Needs: []string{"base"}},
	}
	web := platform.Component{Name: "web", App: "apps-web", Stack: "apps", Namespace: "apps", Path: "K8s/apps/web"}
	shop := platform.Component{Name: "shop", App: "apps-shop", Stack: "apps", Namespace: "apps", Path: "K8s/apps/shop"}
	p := &platform.Platform{
		Layers: layers,
		Stacks: []platform.Stack{
			{Name: "apps", Namespace: "apps", Path: "K8s/apps", Enabled: true, Components: []platform.Component{web, shop}},
			{Name: "closed", Namespace: "closed", Path: "K8s/closed"},
		},
		Config: platform.Config{Cluster: platform.Cluster{Pools: []platform.Pool{
			{Name: "control-plane", Count: 1, Taints: []platform.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}}},
			{Name: "infra", Count: 2, Labels: map[string]string{"disk": "fast"}},
		}}},
	}
	secrets, err := ReadSecrets(fstest.MapFS{SecretsFile: {Data: []byte("paths: [{path: apps/web, keys: {token: {length: 32}}}]\n")}})
	require.NoError(t, err)
	return &small{t, Input{
		Platform: p, Secrets: secrets, Today: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC),
		Components: []Component{{layers[0].Component, objectsOf(t, "base.yaml")}, {layers[1].Component, objectsOf(t, "gateway.yaml")}, {web, objectsOf(t, "web.yaml")}, {shop, objectsOf(t, "shop.yaml")}},
	}}
}

type small struct {
	t *testing.T
	Input
}

func objectsOf(t *testing.T, file string) []render.Object {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	return parse(t, string(text))
}

func parse(t *testing.T, text string) []render.Object {
	t.Helper()
	var list []render.Object
	documents := kubeyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err)
		plain, err := yaml.YAMLToJSON(document)
		require.NoError(t, err)
		var content map[string]any
		require.NoError(t, json.Unmarshal(plain, &content))
		list = append(list, &unstructured.Unstructured{Object: content})
	}
}

// get is the object "Kind/name".
func (s *small) get(name string) render.Object {
	s.t.Helper()
	for _, c := range s.Components {
		for _, o := range c.Objects {
			if o.GetKind()+"/"+o.GetName() == name {
				return o
			}
		}
	}
	require.Fail(s.t, "no such object", name)
	return nil
}

// set puts a value, written as YAML, to a place such as "spec.template.spec.containers.0.image"; ~ in a key stands for a dot, and no
// value removes the key.
func (s *small) set(name, place, value string) {
	s.t.Helper()
	var at any = s.get(name).Object
	fields := strings.Split(place, ".")
	for i, field := range fields {
		field = strings.ReplaceAll(field, "~", ".")
		last := i == len(fields)-1
		switch v := at.(type) {
		case []any:
			var n int
			_, err := fmt.Sscan(field, &n)
			require.NoError(s.t, err)
			at = v[n]
		case map[string]any:
			switch {
			case last && value == "":
				require.Contains(s.t, v, field)
				delete(v, field)
			case last:
				plain, err := yaml.YAMLToJSON([]byte(value))
				require.NoError(s.t, err)
				var content any
				require.NoError(s.t, json.Unmarshal(plain, &content))
				v[field] = content
			default:
				require.Contains(s.t, v, field, place)
				at = v[field]
			}
		}
	}
}

// remove takes an object away.
func (s *small) remove(name string) {
	s.t.Helper()
	gone := s.get(name)
	for i := range s.Components {
		s.Components[i].Objects = slices.DeleteFunc(s.Components[i].Objects, func(o render.Object) bool { return o == gone })
	}
}

// add gives a component another object.
func (s *small) add(app, text string) {
	s.t.Helper()
	for i := range s.Components {
		if s.Components[i].App == app {
			s.Components[i].Objects = append(s.Components[i].Objects, parse(s.t, text)...)
			return
		}
	}
	require.Fail(s.t, "no such component", app)
}

// except adds an exception for the component web.
func (s *small) except(e platform.Exception) {
	e.App, e.File, e.Line = "apps-web", "K8s/apps/web/lint.yaml", 3
	s.Exceptions = append(s.Exceptions, e)
}

const (
	podSpec    = "spec.template.spec."
	container  = podSpec + "containers.0."
	deployment = "Deployment/web"
)

const antiAffinity = "{requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/name: web}}}]}"

func TestTheGoodPlatformHasNoFinding(t *testing.T) {
	require.Empty(t, Run(good(t).Input))
}

type breakage struct {
	rule, name string
	breaks     func(s *small)
	says       string // in the message or the fix
}

func breakages() []breakage {
	set := func(object, place, value string) func(*small) {
		return func(s *small) { s.set(object, place, value) }
	}
	remove := func(object string) func(*small) { return func(s *small) { s.remove(object) } }
	return []breakage{
		{"malformed", "a number for text", set(deployment, container+"env", "[{name: PORT, value: 8080}]"), "quoting"},
		{"malformed", "a field that isn't there", set("Service/web", "spec.ports.0.nam", "x"), `"spec.ports[0].nam"`},
		{"malformed", "text for a number", set("PodDisruptionBudget/web", "spec.maxUnavailable", "[1]"), "PodDisruptionBudget"},
		{"malformed", "a number for a name", set("LimitRange/defaults", "metadata.labels", "{a: 1}"), "quoting"},
		{"malformed", "no kind", func(s *small) { s.add("apps-web", "metadata: {name: x}") }, "no kind"},
		{"malformed", "no name", func(s *small) { s.add("apps-web", "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}") }, "no name"},
		{"own-selector", "other labels", set(deployment, "spec.selector.matchLabels", "{app.kubernetes.io/name: wbe}"), "wbe"},
		{"own-selector", "none", set("DaemonSet/agent", "spec.selector", ""), "own pods"},
		{"own-selector", "no container", set("DaemonSet/agent", podSpec+"containers", "[]"), "no container"},
		{"duplicate-object", "two components", func(s *small) {
			s.add("gateway", "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: apps, labels: {}}\nspec: {selector: {app.kubernetes.io/name: web}, ports: [{name: http, port: 80, targetPort: http}]}")
		}, "IT/gateway"},
		{"labels", "of the workload", set(deployment, "metadata.labels.app~kubernetes~io/instance", ""), "app.kubernetes.io/instance"},
		{"labels", "of its pods", set("DaemonSet/agent", "spec.template.metadata.labels.app~kubernetes~io/name", ""), "its pods"},
		{"labels", "of a namespace", set("Namespace/apps", "metadata.labels.app~kubernetes~io/part-of", ""), "part-of"},
		{"image-registry", "none", set(deployment, container+"image", "web:1"), "docker.io/library/web:1"},
		{"image-registry", "an owner only", set(deployment, container+"image", "grafana/web:1"), "docker.io/grafana/web:1"},
		{"image-registry", "of a custom resource", set("Prometheus/main", "spec.image", "prom/prometheus:v3"), "prom/prometheus:v3"},
		{"image-tag", "none", set(deployment, container+"image", "example.org:5000/web"), "no tag"},
		{"image-tag", "latest", set(deployment, container+"image", "example.org/web:latest"), "latest"},
		{"requests", "no CPU", set(deployment, container+"resources.requests.cpu", ""), "cpu"},
		{"requests", "of an init container", set(deployment, podSpec+"initContainers",
			"[{name: init, image: example.org/i:1, resources: {requests: {memory: 1Mi}, limits: {memory: 1Mi}}, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]"), "init"},
		{"requests", "of what an operator makes", set("Prometheus/main", "spec.resources.requests.cpu", ""), "cpu"},
		{"memory-limit", "none", set(deployment, container+"resources.limits", ""), "web"},
		{"readiness-probe", "none", set(deployment, container+"readinessProbe", ""), "web"},
		{"readiness-probe", "of a sidecar", set(deployment, podSpec+"initContainers", "[{name: side, image: example.org/i:1, restartPolicy: Always, ports: [{containerPort: 80, name: http}],"+
			" resources: {requests: {cpu: 1m, memory: 1Mi}, limits: {memory: 1Mi}}, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]"), "side"},
		{"priority-class", "none", set(deployment, podSpec+"priorityClassName", ""), "priorityClassName"},
		{"priority-class", "misspelt", set(deployment, podSpec+"priorityClassName", "platform-aps"), "did you mean platform-apps?"},
		{"priority-class", "of what an operator makes", set("Prometheus/main", "spec.priorityClassName", ""), "priorityClassName"},
		{"toleration", "misspelt", set(deployment, podSpec+"tolerations.0.key", "node-role.kubernetes.io/controlplane"), "did you mean node-role.kubernetes.io/control-plane?"},
		{"toleration", "of another effect", set(deployment, podSpec+"tolerations.0.effect", "NoExecute"), "NoExecute"},
		{"node-label", "a value that no node has", set(deployment, podSpec+"nodeSelector", "{disk: slow}"), "fast"},
		{"node-label", "a key that no node has", set(deployment, podSpec+"affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.0.preference.matchExpressions",
			"[{key: idp.dev/pol, operator: Exists}]"), "did you mean idp.dev/pool?"},
		{"node-label", "a spread over nothing", set(deployment, podSpec+"topologySpreadConstraints",
			"[{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}, {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}]"), "zone"},
		{"pdb-missing", "two replicas", remove("PodDisruptionBudget/web"), "2 replicas"},
		{"pdb-missing", "of what an operator makes", set("Prometheus/main", "spec.replicas", "2"), "2 replicas"},
		{"pdb-missing", "an autoscaler", func(s *small) {
			s.remove("PodDisruptionBudget/web")
			s.set(deployment, "spec.replicas", "")
			s.add("apps-web", "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {minReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}")
		}, "3 replicas"},
		{"pdb-blocks", "all available", set("PodDisruptionBudget/web", "spec", "{minAvailable: 2, selector: {matchLabels: {app.kubernetes.io/name: web}}}"), "of 2"},
		{"pdb-blocks", "per cent", set("PodDisruptionBudget/web", "spec", "{minAvailable: 51%, selector: {matchLabels: {app.kubernetes.io/name: web}}}"), "51%"},
		{"pdb-blocks", "none unavailable", set("PodDisruptionBudget/web", "spec.maxUnavailable", "0"), "maxUnavailable"},
		{"pdb-selects-nothing", "another app", func(s *small) {
			s.add("apps-web", "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: old}\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: old}}}")
		}, "apps"},
		{"host-access", "hostNetwork", func(s *small) {
			s.set("Namespace/apps", "metadata.labels.pod-security~kubernetes~io/enforce", "privileged")
			s.set("DaemonSet/agent", podSpec+"hostNetwork", "true")
		}, "hostNetwork"},
		{"host-access", "hostPath", func(s *small) {
			s.set("Namespace/apps", "metadata.labels.pod-security~kubernetes~io/enforce", "privileged")
			s.set("DaemonSet/agent", podSpec+"volumes", "[{name: proc, hostPath: {path: /proc}}]")
		}, "hostPath /proc"},
		{"pod-security", "may be root", set(deployment, podSpec+"securityContext.runAsNonRoot", ""), "runAsNonRoot"},
		{"pod-security", "may escalate", set("DaemonSet/agent", container+"securityContext.allowPrivilegeEscalation", "true"), "allowPrivilegeEscalation"},
		{"namespace-missing", "a namespace of nobody's", func(s *small) {
			s.set("DaemonSet/agent", "metadata.namespace", "elsewhere")
			s.set("AppProject/apps", "spec.destinations", "[{namespace: '*'}]")
		}, "elsewhere"},
		{"namespace-pod-security", "no level", set("Namespace/apps", "metadata.labels.pod-security~kubernetes~io/enforce", ""), "enforce"},
		{"namespace-pod-security", "no such level", set("Namespace/apps", "metadata.labels.pod-security~kubernetes~io/enforce", "restrictd"), "did you mean restricted?"},
		{"namespace-quota", "none", remove("ResourceQuota/compute"), "IT/base"},
		{"namespace-limits", "none", remove("LimitRange/defaults"), "LimitRange"},
		{"namespace-default-deny", "none", remove("NetworkPolicy/default-deny"), "NetworkPolicy"},
		{"namespace-default-deny", "ingress only", set("NetworkPolicy/default-deny", "spec.policyTypes", "[Ingress]"), "in and out"},
		{"network-policy-selects-nothing", "misspelt", set("NetworkPolicy/web", "spec.podSelector.matchLabels", "{app.kubernetes.io/name: wbe}"), "wbe"},
		{"network-policy-selects-nothing", "Cilium's", set("CiliumNetworkPolicy/web", "spec.endpointSelector.matchLabels", "{app.kubernetes.io/name: wbe}"), "wbe"},
		{"network-policy-peer", "no such pod", set("NetworkPolicy/web", "spec.ingress.0.from.0.podSelector.matchLabels", "{app.kubernetes.io/name: promtheus}"), "promtheus"},
		{"network-policy-peer", "no such namespace", set("NetworkPolicy/web", "spec.ingress.0.from.0.namespaceSelector.matchLabels", "{kubernetes.io/metadata.name: aps}"), "aps"},
		{"network-policy-peer", "Cilium's", set("CiliumNetworkPolicy/web", "spec.ingress.1.fromEndpoints.0.matchLabels", "{k8s-app: kube-dns}"), "kube-dns"},
		{"quota-exceeded", "memory limits", set("ResourceQuota/compute", "spec.hard", "{limits.memory: 250Mi}"), "of limits.memory"},
		{"quota-exceeded", "pods, one of them a roll-out's", set("ResourceQuota/compute", "spec.hard", "{pods: '8'}"), "take 9 of pods"},
		{"spread-missing", "none", set(deployment, podSpec+"topologySpreadConstraints", ""), "2 replicas"},
		{"spread-missing", "of other pods", set(deployment, podSpec+"topologySpreadConstraints.0.labelSelector.matchLabels", "{app: other}"), "2 replicas"},
		{"spread-blocks", "more replicas than nodes", func(s *small) {
			s.set(deployment, "spec.replicas", "4")
			s.set(deployment, podSpec+"affinity.podAntiAffinity", antiAffinity)
		}, "3 of the nodes"},
		{"spread-blocks", "no node for a roll-out's pod", func(s *small) {
			s.set(deployment, podSpec+"tolerations", "[]")
			s.set(deployment, podSpec+"affinity.podAntiAffinity", antiAffinity)
		}, "all 2 nodes"},
		{"spread-blocks", "a node that takes none counts", func(s *small) {
			s.set(deployment, podSpec+"tolerations", "[]")
			s.set(deployment, podSpec+"topologySpreadConstraints.0.whenUnsatisfiable", "DoNotSchedule")
		}, "nodeTaintsPolicy"},
		{"flow-half", "no way in", set("NetworkPolicy/shop", "spec.egress.0.ports", "[{port: 7070}, {port: 7071}]"), "port 7071 of Deployment apps/store, which no policy lets in"},
		{"flow-half", "no way out", set("NetworkPolicy/store", "spec.ingress.0.ports", "[{port: 7070}, {port: 7071}]"), "port 7071 of Deployment apps/store, which no policy lets out"},
		{"flow-half", "another protocol", set("NetworkPolicy/store", "spec.ingress.0.ports", "[{port: 7070}, {port: 7070, protocol: UDP}]"), "no policy lets out"},
		{"monitor-blocked", "no way in", set("NetworkPolicy/shop", "spec.ingress.0.ports", "[{port: https}]"), "port 9000 of Deployment apps/shop"},
		{"monitor-blocked", "no way out", func(s *small) {
			s.set("NetworkPolicy/shop", "spec.ingress.0.ports", "")
			s.set("NetworkPolicy/scrape", "spec.egress", "[{to: [{podSelector: {matchLabels: {app.kubernetes.io/name: web}}}]}]")
		}, "out to port 9000"},
		{"route-blocked", "another entity", set("CiliumNetworkPolicy/shop", "spec.ingress.0.fromEntities", "[host]"), "port 8080"},
		{"route-blocked", "the Service's port in place of the pod's", set("CiliumNetworkPolicy/shop", "spec.ingress.0.toPorts.0.ports.0.port", "'80'"), "port 8080"},
		{"route-tls", "by its name", set("HTTPRoute/shop", "spec.rules.0.backendRefs.0.port", "443"), "BackendTLSPolicy"},
		{"route-tls", "by its protocol", set("Service/shop", "spec.ports.0.appProtocol", "https"), "BackendTLSPolicy"},
		{"route-tls", "by its probe", set("Service/shop", "spec.ports.0.targetPort", "8443"), "port 80"},
		{"webhook-blocked", "another entity", set("CiliumNetworkPolicy/shop", "spec.ingress.1.fromEntities", "[host]"), "its webhook check.example.org"},
		{"webhook-blocked", "no such Service", set("ValidatingWebhookConfiguration/shop", "webhooks.0.clientConfig.service.name", "shp"), "did you mean shop?"},
		{"api-blocked", "no way out", set("CiliumNetworkPolicy/shop", "spec.egress", "[]"), "API server"},
		{"route-backend", "no such Service", set("HTTPRoute/web", "spec.rules.0.backendRefs.0.name", "wbe"), "did you mean web?"},
		{"route-backend", "no such port", set("HTTPRoute/web", "spec.rules.0.backendRefs.0.port", "8080"), "80, 9000"},
		{"route-backend", "another namespace", set("HTTPRoute/web", "spec.rules.0.backendRefs", "[{name: kube-dns, namespace: kube-system, port: 53}]"), "ReferenceGrant"},
		{"route-parent", "no such Gateway", set("HTTPRoute/web", "spec.parentRefs.0.name", "platfrm"), "did you mean platform?"},
		{"route-parent", "no such listener", set("HTTPRoute/web", "spec.parentRefs.0.sectionName", "htps"), "http, https"},
		{"service-selects-nothing", "misspelt", func(s *small) {
			s.add("apps-web", "apiVersion: v1\nkind: Service\nmetadata: {name: idle}\nspec: {selector: {app: wbe}, ports: [{port: 80}]}")
		}, "app=wbe"},
		{"project-forbids", "a kind", func(s *small) {
			s.add("apps-shop", "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: shop}\nvalue: 1")
		}, "PriorityClass.scheduling.k8s.io"},
		{"project-forbids", "a namespace", func(s *small) {
			s.add("apps-shop", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop, namespace: default}")
		}, "the namespace default"},
		{"project-idle", "a kind", set("AppProject/apps", "spec.clusterResourceWhitelist", "[{group: '*', kind: '*'}, {group: rbac.authorization.k8s.io, kind: ClusterRole}]"), "ClusterRole"},
		{"project-idle", "a namespace", set("AppProject/apps", "spec.destinations", "[{namespace: apps}, {namespace: kube-system}]"), "kube-system"},
		{"secret-store", "none", remove("SecretStore/vault"), "SecretStore vault"},
		{"secret-key", "no such path", set("ExternalSecret/web", "spec.data.0.remoteRef.key", "apps/wbe"), "did you mean apps/web?"},
		{"secret-key", "no such key", set("ExternalSecret/web", "spec.data.0.remoteRef.property", "tokn"), "did you mean token?"},
		{"gate-missing", "no gate", func(s *small) {
			s.add("base", "{apiVersion: external-secrets.io/v1, kind: SecretStore, metadata: {name: other, namespace: apps}}")
		}, "every: {apiVersion: external-secrets.io/v1, kind: SecretStore, type: Ready}"},
		{"gate-missing", "a gate for another", func(s *small) {
			s.add("base", "{apiVersion: external-secrets.io/v1, kind: SecretStore, metadata: {name: other, namespace: apps}}")
			s.Platform.Layers[0].Gates = []platform.Gate{{Condition: &platform.Condition{APIVersion: "external-secrets.io/v1", Kind: "SecretStore", Name: "vault", Namespace: "apps"}}}
		}, "SecretStore"},
		{"gate-idle", "a misspelt kind", func(s *small) {
			s.Platform.Layers[0].Gates = []platform.Gate{{Line: 4, Every: &platform.Condition{APIVersion: "external-secrets.io/v1", Kind: "SecretStor"}}}
		}, "every SecretStor, and the layer base has none"},
		{"certificate-lifetime", "longer than what its authority has left", set("Certificate/leaf", "spec.duration", "10h1s"), "lasts 10h0m1s, and the authority authority may end 10h0m0s"},
		{"certificate-lifetime", "no duration", set("Certificate/leaf", "spec.duration", ""), "lasts 2160h0m0s"},
		{"certificate-lifetime", "an authority that doesn't say when", set("Certificate/authority", "spec", "{isCA: true, secretName: authority-tls, duration: 24h, issuerRef: {name: itself}}"), "may end 8h0m0s"},
		{"certificate-lifetime", "longer than an authority that keeps its key", func(s *small) {
			s.set("Certificate/authority", "spec.privateKey", "{rotationPolicy: Never}")
			s.set("Certificate/leaf", "spec.duration", "31h")
		}, "may end 30h0m0s"},
		{"crd-missing", "no such kind", remove("CustomResourceDefinition/secretstores.external-secrets.io"), "SecretStore"},
		{"crd-missing", "no such version", set("HTTPRoute/web", "apiVersion", "gateway.networking.k8s.io/v1beta1"), "v1beta1"},
		{"crd-order", "a layer that isn't needed", func(s *small) { s.Platform.Layers[1].Needs = nil }, "add base to its needs"},
		{"crd-order", "a stack's kind", func(s *small) {
			crd := s.get("CustomResourceDefinition/gateways.gateway.networking.k8s.io")
			s.remove("CustomResourceDefinition/gateways.gateway.networking.k8s.io")
			s.Components[2].Objects = append(s.Components[2].Objects, crd)
		}, "stacks come after"},
		{"monitor-selects-nothing", "no such Service", set("ServiceMonitor/web", "spec.selector.matchLabels", "{app: wbe}"), "wbe"},
		{"monitor-selects-nothing", "no such port", set("ServiceMonitor/web", "spec.endpoints.0.port", "metrics"), "http-metrics"},
		{"monitor-selects-nothing", "no such pod", set("PodMonitor/web", "spec.selector.matchLabels", "{app: wbe}"), "wbe"},
		{"monitor-selects-nothing", "no such port of the pods", set("PodMonitor/web", "spec.podMetricsEndpoints.0.port", "metrics"), "http-metrics"},
		{"rule-expression", "no expression", set("PrometheusRule/web", "spec.groups.0.rules.0.expr", "sum(up"), "web/Down"},
		{"rule-expression", "no duration", set("PrometheusRule/web", "spec.groups.0.rules.0.for", "5 minutes"), "5m"},
		{"unknown-values", "a misspelt key", func(s *small) {
			s.Values = append(s.Values, &platform.InputError{File: "K8s/apps/web/values.yaml", Line: 7, Msg: `no chart knows the key "a"`, Hint: `did you mean "b"?`})
		}, "no chart knows"},
		{"exception-reason", "none", func(s *small) {
			s.set(deployment, container+"readinessProbe", "")
			s.except(platform.Exception{Rule: "readiness-probe", Kind: "Deployment", Name: "web"})
		}, "Deployment/web"},
		{"exception-rule", "misspelt", func(s *small) {
			s.except(platform.Exception{Rule: "host-acess", Kind: "*", Name: "*", Reason: "so"})
		}, "did you mean host-access?"},
		{"exception-rule", "of what can't be excepted", func(s *small) {
			s.except(platform.Exception{Rule: "unknown-values", Kind: "*", Name: "*", Reason: "so"})
		}, "unknown-values"},
		{"exception-stale", "nothing to except", func(s *small) {
			s.except(platform.Exception{Rule: "host-access", Kind: "Deployment", Name: "web", Reason: "so"})
		}, "remove"},
		{"exception-expired", "yesterday", func(s *small) {
			s.set(deployment, container+"readinessProbe", "")
			s.except(platform.Exception{Rule: "readiness-probe", Kind: "Deployment", Name: "web", Reason: "so", Expires: s.Today.Truncate(24*time.Hour).AddDate(0, 0, -1)})
		}, "2026-05-31"},
	}
}

func TestEachRuleBrokenOnce(t *testing.T) {
	for _, c := range breakages() {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			s := good(t)
			c.breaks(s)
			found := Run(s.Input)
			require.Len(t, found, 1, "%v", found)
			require.Equal(t, c.rule, found[0].Rule)
			require.Contains(t, found[0].Message+"\n"+found[0].Fix, c.says)
			require.NotEmpty(t, found[0].Message)
			require.NotEmpty(t, found[0].Fix)
			require.NotEmpty(t, found[0].File)
		})
	}
}

func TestEveryRuleIsBroken(t *testing.T) {
	broken := map[string]bool{}
	for _, c := range breakages() {
		broken[c.rule] = true
	}
	seen := map[string]bool{}
	for _, r := range Rules() {
		require.True(t, broken[r.ID], "no case breaks %s", r.ID)
		require.False(t, seen[r.ID], "two rules are called %s", r.ID)
		require.NotEmpty(t, r.Title)
		seen[r.ID] = true
	}
	require.Len(t, broken, len(seen))
}

func TestAnExceptionLetsItsObjectPass(t *testing.T) {
	s := good(t)
	s.set(deployment, container+"readinessProbe", "")
	s.except(platform.Exception{Rule: "readiness-probe", Kind: "*", Name: "we*", Reason: "it has none", Expires: s.Today.Truncate(24 * time.Hour)})
	require.Empty(t, Run(s.Input))

	s.Exceptions[0].App = "gateway"
	var rules []string
	for _, f := range Run(s.Input) {
		rules = append(rules, f.Rule)
	}
	require.Equal(t, []string{"exception-stale", "readiness-probe"}, rules, "an exception is for its own component")
}

func TestAStandInIsNotAskedForWhatItsInventoryLeavesOut(t *testing.T) {
	s := good(t)
	s.set(deployment, container+"readinessProbe", "")
	s.set("ServiceMonitor/web", "spec.selector.matchLabels", "{app: made-at-run-time}")
	for _, object := range []string{deployment, "ServiceMonitor/web"} {
		s.set(object, "metadata.annotations", "{"+chart.SimulatedAnnotation+": inventory}")
	}
	require.Empty(t, Run(s.Input))
}

func TestSecretKeysAreCheckedOnlyWhereTheyAreKnown(t *testing.T) {
	s := good(t)
	s.set("ExternalSecret/web", "spec.data.0.remoteRef.key", "apps/other")
	s.Secrets = nil
	require.Empty(t, Run(s.Input))
}

func TestAPeerInAStackThatIsOff(t *testing.T) {
	s := good(t)
	s.set("NetworkPolicy/web", "spec.ingress.0.from.0.namespaceSelector.matchLabels", "{kubernetes.io/metadata.name: closed}")
	require.Empty(t, Run(s.Input))
}

func TestADatabaseOfAnOperator(t *testing.T) {
	s := good(t)
	s.add("base", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: clusters.postgresql.cnpg.io}\n"+
		"spec: {group: postgresql.cnpg.io, scope: Namespaced, names: {kind: Cluster}, versions: [{name: v1, served: true}]}")
	s.add("apps-web", "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nmetadata: {name: db}\nspec:\n  instances: 2\n  priorityClassName: platform-apps\n"+
		"  imageName: registry.example.org/postgresql:18.1\n  resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}")
	s.set("NetworkPolicy/web", "spec.podSelector.matchLabels", "{cnpg.io/cluster: db}")
	s.add("apps-web", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: db}\nspec: {endpointSelector: {matchLabels: {cnpg.io/cluster: db}}, ingress: [{fromEntities: [all]}]}")
	s.set("HTTPRoute/web", "spec.rules.0.backendRefs", "[{name: db-rw, port: 5432}]")
	require.Empty(t, Run(s.Input))
}

func TestThePodsOfWorkflowsToCome(t *testing.T) {
	s := good(t)
	s.add("apps-web", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: controller}\ndata:\n  config: |\n    workflowDefaults: {spec: "+
		"{podPriorityClassName: platform-apps, podMetadata: {labels: {app.kubernetes.io/component: workflow}}}}")
	s.add("apps-web", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {config: '[server]', workflowDefaults: x}")
	s.set("NetworkPolicy/web", "spec.podSelector.matchLabels", "{app.kubernetes.io/component: workflow}")
	require.Empty(t, Run(s.Input))
}

func TestTheKubeletsServiceOfAnOperator(t *testing.T) {
	s := good(t)
	s.set(deployment, container+"args", "[--kubelet-service=kube-system/kubelet]")
	s.set("ServiceMonitor/web", "spec", "{namespaceSelector: {matchNames: [kube-system]}, selector: {matchLabels: {k8s-app: kubelet}}, endpoints: [{port: https-metrics}]}")
	require.Empty(t, Run(s.Input))
}

func TestAFindingSaysWhereWhatAndWhatToDo(t *testing.T) {
	s := good(t)
	s.set(deployment, container+"readinessProbe", "")
	require.Equal(t, "K8s/apps/web: Deployment apps/web: the container web serves a port and has no readiness probe [readiness-probe]\n"+
		"    give it one; a chart mostly has readinessProbe", Run(s.Input)[0].String())
}

func TestSecretsFileThatIsWrong(t *testing.T) {
	_, err := ReadSecrets(fstest.MapFS{SecretsFile: {Data: []byte("paths: {a: b}\n")}})
	var input *platform.InputError
	require.ErrorAs(t, err, &input)
	require.Equal(t, SecretsFile, input.File)
}

// What code hosts want of SARIF: testdata/sarif.schema.json is the part of the official schema that is written here, closed to
// other keys.
func TestSARIF(t *testing.T) {
	s := good(t)
	for _, c := range breakages() {
		if slices.Contains([]string{"unknown-values", "readiness-probe"}, c.rule) {
			c.breaks(s)
		}
	}
	var out bytes.Buffer
	require.NoError(t, WriteSARIF(&out, Run(s.Input)))
	requireSchema(t, out.Bytes())
	require.Contains(t, out.String(), `"uri": "K8s/apps/web/values.yaml"`)
	require.Contains(t, out.String(), `"startLine": 7`)
	require.Contains(t, out.String(), `"uri": "K8s/apps/web/Chart.yaml"`)
	require.Contains(t, out.String(), `"fullyQualifiedName": "Deployment apps/web"`)

	out.Reset()
	require.NoError(t, WriteSARIF(&out, nil))
	requireSchema(t, out.Bytes())
	require.Contains(t, out.String(), `"results": []`)
}
