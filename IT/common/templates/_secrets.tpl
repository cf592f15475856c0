{{- /* One ExternalSecret a Secret. into: existing adds the keys to a Secret that somebody else makes and owns. */ -}}
{{- define "common.secrets" -}}
{{- range $name, $secret := .Values.secrets }}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
spec:
  refreshInterval: 1m
  secretStoreRef:
    kind: SecretStore
    name: vault
  target:
    name: {{ $name }}
    {{- if eq (default "own" $secret.into) "existing" }}
    creationPolicy: Merge
    deletionPolicy: Retain
    {{- else }}
    creationPolicy: Owner
    deletionPolicy: Retain
    {{- end }}
    {{- if or $secret.type $secret.labels $secret.template }}
    template:
      engineVersion: v2
      {{- with $secret.type }}
      type: {{ . }}
      {{- end }}
      mergePolicy: Merge
      {{- with $secret.labels }}
      metadata:
        labels:
          {{- toYaml . | nindent 10 }}
      {{- end }}
      {{- with $secret.template }}
      data:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    {{- end }}
  data:
    {{- range $key, $property := $secret.keys }}
    - secretKey: {{ $key }}
      remoteRef:
        key: {{ required (printf "secrets.%s.path" $name) $secret.path }}
        property: {{ $property }}
        conversionStrategy: Default
        decodingStrategy: None
        metadataPolicy: None
        nullBytePolicy: Ignore
    {{- end }}
{{- end }}
{{- end }}
