{{- /* Grafana's sidecar loads every ConfigMap with this label, in any namespace, into the folder of the stack. */ -}}
{{- define "common.dashboards" -}}
{{- range $path, $content := .Files.Glob "dashboards/*.json" }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: dashboard-{{ base $path | trimSuffix ".json" }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
    grafana_dashboard: "1"
data:
  {{ base $path }}: |-
    {{- toString $content | nindent 4 }}
{{- end }}
{{- end }}
