package chart

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idp-blueprint/idp/internal/platform"
)

// tiny is a chart archive with these files and, if none is given, a Chart.yaml.
func tiny(t *testing.T, name, version string, files map[string]string) []byte {
	t.Helper()
	all := map[string][]byte{"Chart.yaml": []byte("apiVersion: v2\nname: " + name + "\nversion: " + version + "\nappVersion: v9\n")}
	for file, text := range files {
		all[file] = []byte(text)
	}
	data, err := pack(name, all)
	require.NoError(t, err)
	return data
}

// write makes a file and its folders.
func write(t *testing.T, file, text string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// checkout is a platform with one stack, one component that depends on the chart web 1.2.3, and these values.
func checkout(t *testing.T, repository, values string) (*platform.Platform, platform.Component) {
	t.Helper()
	root := t.TempDir()
	write(t, filepath.Join(root, "platform.yaml"), "global:\n  platform:\n    name: tiny\n    kubernetes:\n      version: v1.37.2\n")
	dep := platform.Dependency{Name: "web", Version: "1.2.3", Repository: repository, Line: 6}
	c := platform.Component{
		Name: "site", App: "apps-site", Stack: "apps", Namespace: "apps", Path: "K8s/apps/site",
		Chart: platform.ChartFile{Name: "site", Version: "0.1.0", Dependencies: []platform.Dependency{dep}},
	}
	dir := filepath.Join(root, "K8s", "apps", "site")
	write(t, filepath.Join(dir, "Chart.yaml"), `apiVersion: v2
name: site
version: 0.1.0
type: application
dependencies:
  - name: web
    version: 1.2.3
    repository: `+repository+"\n")
	write(t, filepath.Join(dir, "values.yaml"), values)
	p := &platform.Platform{Root: root, Config: platform.Config{Name: "tiny", Kubernetes: platform.Kubernetes{Version: "v1.37.2"}}}
	return p, c
}

// webFiles are the templates of a chart with one of everything that an inventory records.
func webFiles() map[string]string {
	return map[string]string{
		"values.yaml": `replicas: 1
image: registry.example/web:1.0
resources: {}
service:
  port: 80
  labels: {}
config:
  level: info
probe:
  path: /healthz
`,
		"templates/all.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  labels: {app: web}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      serviceAccountName: web
      priorityClassName: high
      tolerations:
        - {key: dedicated, operator: Exists}
      containers:
        - name: web
          image: {{ .Values.image }}
          args: [--secret-flag]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe:
            httpGet: {path: {{ .Values.probe.path }}, port: http}
          resources:
            {{- toYaml .Values.resources | nindent 12 }}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  {{- with .Values.service.labels }}
  labels:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector: {app: web}
  ports: [{name: http, port: {{ .Values.service.port }}, targetPort: http}]
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: web
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
data:
  level: {{ .Values.config.level }}
  template: "{{ "{{ .Theirs }}" }}"
  theirs: text of the chart
---
apiVersion: v1
kind: Secret
metadata:
  name: web
type: Opaque
stringData:
  password: hunter2
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: web
---
apiVersion: example.com/v1
kind: Widget
metadata:
  name: web
  annotations: {checksum/x: abc}
spec:
  size: 3
---
apiVersion: batch/v1
kind: Job
metadata:
  name: setup
  annotations: {helm.sh/hook: pre-install}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: setup, image: "registry.example/setup:1"}
`,
		"templates/NOTES.txt": "Have fun.\n",
		"crds/widgets.yaml": `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.com
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          properties: {spec: {type: object, properties: {size: {type: integer}}}}
`,
	}
}

const webValues = `web:
  replicas: 2
  resources:
    requests: {cpu: 10m, memory: 16Mi}
  config:
    level: debug {{ literally }}
`
