{{- define "gitops.labels" -}}
app.kubernetes.io/part-of: {{ .Values.global.platform.name }}
{{- end }}

{{- define "gitops.repository" -}}
{{ .Values.global.platform.git.url | default .Values.defaultRepository }}
{{- end }}

{{- /* How every component is rendered. name and path are templates of the ApplicationSet, or plain text. */ -}}
{{- define "gitops.source" -}}
{{- $platform := .root.Values.global.platform -}}
repoURL: {{ include "gitops.repository" .root }}
targetRevision: {{ $platform.git.revision }}
path: {{ .path | quote }}
helm:
  releaseName: {{ .name | quote }}
  # A chart's tests are for helm test; Argo CD would leave their pods lying about.
  skipTests: true
  valueFiles:
    - /platform.yaml
    {{- if ne (default "demo" $platform.profile) "demo" }}
    # What is other than in the demo, where a component says so.
    - values-{{ $platform.profile }}.yaml
  ignoreMissingValueFiles: true
    {{- end }}
  kubeVersion: {{ $platform.kubernetes.version }}
  apiVersions:
    {{- range $platform.kubernetes.apiVersions }}
    - {{ . }}
    {{- end }}
{{- end }}

{{- define "gitops.syncPolicy" -}}
automated:
  enabled: true
  prune: true
  selfHeal: true
retry:
  # From an empty cluster a component fails until the CRDs and webhooks it needs are there. Twenty tries a minute apart cover
  # the slowest pull of images; after that a person should look.
  limit: 20
  backoff:
    duration: 5s
    factor: 2
    maxDuration: 1m
syncOptions:
  - ServerSideApply=true
  - ApplyOutOfSyncOnly=true
  - PruneLast=true
{{- end }}
