{{- /*
A PostgreSQL of one application's own: a Cluster of CloudNativePG (K8s/data/cloudnative-pg), its metrics, and who may talk to it. The
operator makes the Services <name>-rw, -ro and -r, and the Secret <name>-app with username, password, dbname, host, port, uri and
jdbc-uri; nothing of it comes from Vault or from Git.
*/ -}}
{{- define "common.databases" -}}
{{- $platform := .Values.global.platform }}
{{- range $name, $database := .Values.databases }}
{{- $instances := int (default (ternary 2 1 (eq (toString $platform.profile) "ha")) $database.instances) }}
{{- $memory := default "256Mi" $database.memory }}
{{- if not (regexMatch "^[1-9][0-9]*Mi$" $memory) }}
{{- fail (printf "databases.%s.memory is a number of Mi, not %q" $name $memory) }}
{{- end }}
{{- $of := dict "cnpg.io/cluster" $name }}
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
spec:
  instances: {{ $instances }}
  imageName: {{ include "common.postgresql" . }}
  bootstrap:
    initdb:
      database: {{ required (printf "databases.%s.database" $name) $database.database }}
      owner: {{ default $database.database $database.owner }}
  storage:
    size: {{ required (printf "databases.%s.size" $name) $database.size }}
  resources:
    requests:
      cpu: {{ default "25m" $database.cpu }}
      memory: {{ $memory }}
    # As much as it asks for: a database is the last that should be killed for memory that it was lent.
    limits:
      memory: {{ $memory }}
  postgresql:
    parameters:
      # A quarter of the memory, as PostgreSQL's own manual advises; its default doesn't know how much there is.
      shared_buffers: {{ div (trimSuffix "Mi" $memory | int) 4 }}MB
      {{- with $database.parameters }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  priorityClassName: {{ required (printf "databases.%s.priorityClassName" $name) $database.priorityClassName }}
  # A budget of a single instance would block every drain of its node.
  enablePDB: {{ gt $instances 1 }}
  {{- if gt $instances 1 }}
  primaryUpdateMethod: switchover
  {{- end }}
  affinity:
    # Two instances on one node are lost together.
    podAntiAffinityType: {{ gt $instances 1 | ternary "required" "preferred" }}
    topologyKey: kubernetes.io/hostname
    nodeAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          preference:
            matchExpressions:
              - {key: idp.dev/pool, operator: In, values: [{{ default "infra" $database.pool }}]}
  inheritedMetadata:
    labels:
      # Not the name and instance of the component: its Service selects by these, and would send requests to the database.
      app.kubernetes.io/part-of: {{ $platform.name }}
---
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
spec:
  selector:
    matchLabels:
      cnpg.io/cluster: {{ $name }}
      cnpg.io/podRole: instance
  podMetricsEndpoints:
    - port: metrics
{{- $server := dict "pods" $of
  "from" (list
    (dict "pods" (required (printf "databases.%s.clients" $name) $database.clients) "ports" (list 5432))
    (dict "pods" $of "ports" (list 5432 8000))
    (dict "namespace" "data" "pods" (dict "app.kubernetes.io/name" "cloudnative-pg") "ports" (list 5432 8000))
    (dict "namespace" "observability" "pods" (dict "app.kubernetes.io/name" "prometheus") "ports" (list 9187)))
  "to" (list
    (dict "pods" $of "ports" (list 5432 8000))
    (dict "entity" "api-server")) }}
{{- $clients := dict "pods" $database.clients "to" (list (dict "pods" $of "ports" (list 5432))) }}
{{- $flows := dict $name $server (printf "%s-clients" $name) $clients }}
{{- include "common.flows" (dict "Values" (dict "flows" $flows "global" $.Values.global) "Release" $.Release "Chart" $.Chart) }}
{{- end }}
{{- end }}

{{- /* The one PostgreSQL of the platform: the default of the pinned operator, so that the two were tested together. */ -}}
{{- define "common.postgresql" -}}
ghcr.io/cloudnative-pg/postgresql:18.4-system-trixie
{{- end }}
