{{- /*
The chart takes its address as text. A template of the parent chart takes the place of the subchart's of the same name; this one gives the
same, the address of its route, in the domain of platform.yaml.
*/ -}}
{{- define "argo-cd.config.cm.presets" -}}
url: https://argocd.{{ .Values.global.platform.domain }}
{{- end }}
