{{- /* Everything that a component's values ask for. */ -}}
{{- define "common.all" -}}
{{- include "common.routes" . }}
{{- include "common.flows" . }}
{{- include "common.secrets" . }}
{{- include "common.dashboards" . }}
{{- include "common.databases" . }}
{{- include "common.logins" . }}
{{- end }}

{{- /* The labels of every object of our own. */ -}}
{{- define "common.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: {{ .Values.global.platform.name }}
{{- end }}
