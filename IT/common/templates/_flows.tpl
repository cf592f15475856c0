{{- /*
A flow is a NetworkPolicy for the peers that are pods, and a CiliumNetworkPolicy for those that are not: no selector of a
NetworkPolicy means the gateway's proxy, the API server or a node.
*/ -}}
{{- define "common.flows" -}}
{{- range $name, $flow := .Values.flows }}
{{- $in := dict "pods" list "entities" list }}
{{- range $flow.from }}
{{- $kind := ternary "entities" "pods" (hasKey . "entity") }}
{{- $_ := set $in $kind (append (get $in $kind) .) }}
{{- end }}
{{- $out := dict "pods" list "entities" list }}
{{- range $flow.to }}
{{- $kind := ternary "entities" "pods" (hasKey . "entity") }}
{{- $_ := set $out $kind (append (get $out $kind) .) }}
{{- end }}
{{- if or $in.pods $out.pods }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
spec:
  podSelector:
    {{- include "common.selector" $flow.pods | nindent 4 }}
  policyTypes:
    {{- if $in.pods }}
    - Ingress
    {{- end }}
    {{- if $out.pods }}
    - Egress
    {{- end }}
  {{- with $in.pods }}
  ingress:
    {{- range . }}
    - from:
        - {{- include "common.peer" . | nindent 10 }}
      {{- include "common.ports" .ports | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- with $out.pods }}
  egress:
    {{- range . }}
    - to:
        - {{- include "common.peer" . | nindent 10 }}
      {{- include "common.ports" .ports | nindent 6 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if or $in.entities $out.entities }}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
spec:
  endpointSelector:
    {{- include "common.selector" $flow.pods | nindent 4 }}
  {{- with $in.entities }}
  ingress:
    {{- range . }}
    - fromEntities: {{ include "common.entity" . }}
      {{- include "common.toPorts" .ports | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- with $out.entities }}
  egress:
    {{- range . }}
    - toEntities: {{ include "common.entity" . }}
      {{- include "common.toPorts" .ports | nindent 6 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "common.selector" -}}
{{- with . -}}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{- else -}}
{}
{{- end }}
{{- end }}

{{- define "common.peer" -}}
{{- with .namespace }}
namespaceSelector:
  matchLabels:
    kubernetes.io/metadata.name: {{ . }}
{{- end }}
podSelector:
  {{- include "common.selector" .pods | nindent 2 }}
{{- end }}

{{- /* A port is a number for TCP, or "<number>/UDP". */ -}}
{{- define "common.ports" -}}
{{- with . -}}
ports:
  {{- range . }}
  {{- $port := splitList "/" (toString .) }}
  - port: {{ first $port }}
    protocol: {{ eq (len $port) 2 | ternary (last $port) "TCP" }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "common.toPorts" -}}
{{- with . -}}
toPorts:
  - ports:
      {{- range . }}
      {{- $port := splitList "/" (toString .) }}
      - port: {{ first $port | quote }}
        protocol: {{ eq (len $port) 2 | ternary (last $port) "TCP" }}
      {{- end }}
{{- end }}
{{- end }}

{{- define "common.entity" -}}
{{- /* A pod's own node and the others are two entities; an API server may be on either. */ -}}
{{- $names := dict "gateway" "[ingress]" "api-server" "[kube-apiserver]" "nodes" "[host, remote-node]" "internet" "[world]" -}}
{{- required (printf "a flow's entity is one of %s, not %q" (keys $names | sortAlpha | join ", ") .entity) (get $names .entity) }}
{{- end }}
