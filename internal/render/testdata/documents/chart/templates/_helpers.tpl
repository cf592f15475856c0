{{- define "unused" -}}
kind: Never
{{- end -}}
