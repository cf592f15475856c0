package main

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

// lintedPlatform is a platform that lint finds nothing in, changed as a test wants.
func lintedPlatform(t *testing.T, change map[string]string) string {
	t.Helper()
	files := map[string]string{
		"IT/base/templates/ns.yaml": `{{- range list "base" "apps" }}
---
apiVersion: v1
kind: Namespace
metadata:
  name: {{ . }}
  labels: {app.kubernetes.io/part-of: small, pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: compute, namespace: {{ . }}}
spec: {hard: {pods: "10"}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: defaults, namespace: {{ . }}}
spec: {limits: []}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: {{ . }}}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
{{- end }}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: platform-apps}
value: 100
`,
		"K8s/apps/web/values.yaml":             "image: registry.example.org/web:1.0.0\n",
		"K8s/apps/web/templates/workload.yaml": webWorkload,
	}
	maps.Copy(files, change)
	return smallPlatform(t, files)
}

const webWorkload = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: {{ .Release.Namespace }}
  labels: &labels {app.kubernetes.io/name: web, app.kubernetes.io/instance: web}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: web}}
  template:
    metadata: {labels: *labels}
    spec:
      priorityClassName: platform-apps
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: web
          image: {{ .Values.image }}
          resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 32Mi}}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

const latestImage = "image: registry.example.org/web:latest\n"

func TestLintOfAGoodPlatform(t *testing.T) {
	code, stdout, stderr := runIn(t, lintedPlatform(t, nil), "lint", "--offline")
	require.Zero(t, code, stderr)
	require.Empty(t, stdout)
	require.Empty(t, stderr)
}

func TestLintNamesFileObjectAndFix(t *testing.T) {
	code, stdout, stderr := runIn(t, lintedPlatform(t, map[string]string{"K8s/apps/web/values.yaml": latestImage}), "lint", "--offline")
	require.Equal(t, exitFailed, code)
	require.Equal(t, "K8s/apps/web/templates/workload.yaml: Deployment apps/web: the image registry.example.org/web:latest is latest [image-tag]\n"+
		"    name the version that is meant\n", stdout)
	require.Contains(t, stderr, "1 finding\n")
}

func TestLintShowsTheComponentsThatAreAskedFor(t *testing.T) {
	root := lintedPlatform(t, map[string]string{"K8s/apps/web/values.yaml": latestImage})
	code, stdout, _ := runIn(t, root, "lint", "base", "--offline")
	require.Zero(t, code)
	require.Empty(t, stdout)

	code, stdout, _ = runIn(t, root, "lint", "K8s/apps/web", "--offline")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "image-tag")
}

func TestLintAsJSON(t *testing.T) {
	code, stdout, _ := runIn(t, lintedPlatform(t, map[string]string{"K8s/apps/web/values.yaml": latestImage}), "lint", "--offline", "-o", "json")
	require.Equal(t, exitFailed, code)
	var report struct {
		Findings []struct {
			Rule, Component, File, Message, Fix string
			Object                              struct{ Group, Kind, Namespace, Name string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Len(t, report.Findings, 1)
	require.Equal(t, "apps-web", report.Findings[0].Component)
	require.Equal(t, "apps", report.Findings[0].Object.Group)

	code, stdout, _ = runIn(t, lintedPlatform(t, nil), "lint", "--offline", "-o", "json")
	require.Zero(t, code)
	require.JSONEq(t, `{"findings": []}`, stdout)
}

func TestLintAsSARIF(t *testing.T) {
	code, stdout, _ := runIn(t, lintedPlatform(t, map[string]string{"K8s/apps/web/values.yaml": latestImage}), "lint", "--offline", "-o", "sarif")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, `"version": "2.1.0"`)
	require.Contains(t, stdout, `"uri": "K8s/apps/web/templates/workload.yaml"`)
}

func TestLintFindsUnknownValues(t *testing.T) {
	root := lintedPlatform(t, map[string]string{"K8s/apps/web/values.yaml": "image: registry.example.org/web:1.0.0\nimagge: x\n"})
	code, stdout, stderr := runIn(t, root, "lint", "--offline")
	require.Equal(t, exitFailed, code, stderr)
	require.Contains(t, stdout, "K8s/apps/web/values.yaml:2: no chart knows the key \"imagge\" [unknown-values]\n    did you mean \"image\"?")
}

func TestLintExceptions(t *testing.T) {
	change := map[string]string{
		"K8s/apps/web/values.yaml": latestImage,
		"K8s/apps/web/lint.yaml":   "- {rule: image-tag, object: Deployment/*, reason: it is a test}\n",
	}
	code, stdout, stderr := runIn(t, lintedPlatform(t, change), "lint", "--offline")
	require.Zero(t, code, stdout+stderr)

	change["K8s/apps/web/lint.yaml"] = "- {rule: image-tag, object: Deployment/*, reason: it was a test, expires: 2020-01-01}\n"
	code, stdout, _ = runIn(t, lintedPlatform(t, change), "lint", "--offline")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "K8s/apps/web/lint.yaml:1: the exception of Deployment/* for image-tag is over since 2020-01-01 [exception-expired]")
}

func TestLintChecksSecretsWhereTheyAreListed(t *testing.T) {
	change := map[string]string{
		"IT/base/templates/store.yaml": `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: externalsecrets.external-secrets.io}
spec: {group: external-secrets.io, scope: Namespaced, names: {kind: ExternalSecret}, versions: [{name: v1, served: true}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: secretstores.external-secrets.io}
spec: {group: external-secrets.io, scope: Namespaced, names: {kind: SecretStore}, versions: [{name: v1, served: true}]}
`,
		"K8s/apps/web/templates/secret.yaml": `apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: vault}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {name: web}
spec: {secretStoreRef: {name: vault}, data: [{secretKey: a, remoteRef: {key: apps/web, property: a}}]}
`,
	}
	code, stdout, stderr := runIn(t, lintedPlatform(t, change), "lint", "--offline")
	require.Zero(t, code, stdout+stderr)

	// The file lies in a layer's folder.
	change["IT/layers.yaml"] = "- name: base\n  namespace: base\n- name: vault\n  namespace: base\n"
	change["IT/vault/Chart.yaml"] = "apiVersion: v2\nname: vault\nversion: 0.1.0\n"
	change["IT/vault/secrets.yaml"] = "paths:\n  - path: apps/wbe\n    keys: {a: {}}\n"
	code, stdout, _ = runIn(t, lintedPlatform(t, change), "lint", "--offline")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "did you mean apps/wbe?")
	require.Contains(t, stdout, "K8s/apps/web/templates/secret.yaml: ExternalSecret apps/web: ")
}

func TestLintSaysWhatIsSimulated(t *testing.T) {
	root := lintedPlatform(t, map[string]string{
		"K8s/apps/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n- name: up\n  version: 1.0.0\n  repository: https://charts.invalid\n",
		"K8s/apps/web/inventory.yaml": `schema: 1
kubernetes: v1.37.2
charts:
  - name: up
    version: 1.0.0
    repository: https://charts.invalid
    files: "h1:0000000000000000000000000000000000000000000000000000000000000000"
    services:
      - name: up
        ports: [{port: 80}]
`,
	})
	code, stdout, stderr := runIn(t, root, "lint", "--offline")
	require.Zero(t, code, stdout+stderr)
	require.Equal(t, "idp: K8s/apps/web: simulated from its inventory; what that doesn't record (probes, rules) isn't checked\n", stderr)
}

func TestLintRefusesBadInput(t *testing.T) {
	for name, c := range map[string]struct {
		change map[string]string
		args   []string
		says   []string
	}{
		"a misspelt key in lint.yaml": {
			change: map[string]string{"K8s/apps/web/lint.yaml": "- rule: image-tag\n  object: Deployment/*\n  reson: none\n"},
			says:   []string{"K8s/apps/web/lint.yaml:3", "reason"},
		},
		"a template that doesn't parse": {change: map[string]string{"K8s/apps/web/templates/workload.yaml": "{{ if }}"}, says: []string{"K8s/apps/web/templates/workload.yaml:1"}},
		"a list of secrets that isn't one": {
			change: map[string]string{
				"IT/layers.yaml":        "- name: base\n  namespace: base\n- name: vault\n  namespace: base\n",
				"IT/vault/Chart.yaml":   "apiVersion: v2\nname: vault\nversion: 0.1.0\n",
				"IT/vault/secrets.yaml": "paths: none\n",
			},
			says: []string{"IT/vault/secrets.yaml"},
		},
		"a component that isn't there": {args: []string{"apps-wbe"}, says: []string{"apps-web"}},
		"a bad output":                 {args: []string{"-o", "xml"}, says: []string{"sarif"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runIn(t, lintedPlatform(t, c.change), append([]string{"lint", "--offline"}, c.args...)...)
			require.Equal(t, exitUsage, code, stderr)
			require.Empty(t, stdout)
			for _, text := range c.says {
				require.Contains(t, stderr, text)
			}
		})
	}
}
