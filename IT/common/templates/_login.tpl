{{- /*
A login before an application that has none: OAuth2 Proxy, a route to it and no other way in. It shows a form, checked against bcrypt hashes in
Vault; a provider of identities takes the form's place by the proxy's own settings.
*/ -}}
{{- define "common.logins" -}}
{{- $platform := .Values.global.platform }}
{{- $ha := eq (toString $platform.profile) "ha" }}
{{- $routes := dict }}
{{- $secrets := dict }}
{{- $flows := dict }}
{{- range $host, $login := .Values.logins }}
{{- $name := printf "%s-login" $host }}
{{- $port := required (printf "logins.%s.port" $host) $login.port }}
{{- $service := required (printf "logins.%s.service" $host) $login.service }}
{{- $app := required (printf "logins.%s.pods" $host) $login.pods }}
{{- $pods := dict "app.kubernetes.io/name" $name }}
{{- $behind := default $port $login.targetPort }}
{{- $elsewhere := and $login.namespace (ne $login.namespace $.Release.Namespace) }}
{{- $_ := set $routes $host (dict "service" $name "port" 4180) }}
{{- $_ := set $secrets $name (dict
      "path" (printf "%s/%s" $.Release.Namespace $name)
      "keys" (dict "cookie-secret" "cookieSecret" "bcrypt" "bcrypt")
      "template" (dict "htpasswd" "admin:{{ .bcrypt }}")) }}
{{- $_ := set $flows $name (dict
      "pods" $pods
      "from" (list
        (dict "entity" "gateway" "ports" (list 4180))
        (dict "namespace" "observability" "pods" (dict "app.kubernetes.io/name" "prometheus") "ports" (list 44180)))
      "to" (list (merge (dict "pods" $app "ports" (list $behind)) (ternary (dict "namespace" $login.namespace) dict (not (not $elsewhere)))))) }}
{{- if not $elsewhere }}
{{- $_ := set $flows (printf "%s-behind-login" $host) (dict
      "pods" $app
      "from" (list (dict "pods" $pods "ports" (list $behind)))) }}
{{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels: &labels
    # Not those of the application, whose Service would take the proxy for one of its pods.
    app.kubernetes.io/name: {{ $name }}
    app.kubernetes.io/instance: {{ $.Release.Name }}
    app.kubernetes.io/component: login
    app.kubernetes.io/part-of: {{ $platform.name }}
spec:
  replicas: {{ ternary 2 1 $ha }}
  revisionHistoryLimit: 2
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ $name }}
  template:
    metadata:
      labels: *labels
    spec:
      priorityClassName: {{ required (printf "logins.%s.priorityClassName" $host) $login.priorityClassName }}
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              preference:
                matchExpressions:
                  - {key: idp.dev/pool, operator: In, values: [infra]}
      {{- if $ha }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          # Each revision for itself, and over nodes where it may run: else the pod that replaces another would find no place.
          nodeTaintsPolicy: Honor
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              app.kubernetes.io/name: {{ $name }}
      {{- end }}
      containers:
        - name: proxy
          image: quay.io/oauth2-proxy/oauth2-proxy:v7.15.3
          env:
            - {name: OAUTH2_PROXY_HTTP_ADDRESS, value: "0.0.0.0:4180"}
            - {name: OAUTH2_PROXY_METRICS_ADDRESS, value: "0.0.0.0:44180"}
            - {name: OAUTH2_PROXY_UPSTREAMS, value: "http://{{ $service }}{{ if $elsewhere }}.{{ $login.namespace }}{{ end }}:{{ $port }}"}
            - {name: OAUTH2_PROXY_HTPASSWD_FILE, value: /login/htpasswd}
            - name: OAUTH2_PROXY_COOKIE_SECRET
              valueFrom:
                secretKeyRef: {name: {{ $name }}, key: cookie-secret}
            - {name: OAUTH2_PROXY_COOKIE_EXPIRE, value: 12h}
            - {name: OAUTH2_PROXY_COOKIE_SAMESITE, value: lax}
            # It wants a provider even where the form is all there is. This one has no client, and lets nobody's address in.
            - {name: OAUTH2_PROXY_PROVIDER, value: github}
            - {name: OAUTH2_PROXY_CLIENT_ID, value: none}
            - {name: OAUTH2_PROXY_CLIENT_SECRET, value: none}
            - {name: OAUTH2_PROXY_EMAIL_DOMAINS, value: none.invalid}
            # Its runtime log would quote an application's own bearer tokens, which it takes for a wrong login. Logins stay in the log.
            - {name: OAUTH2_PROXY_STANDARD_LOGGING, value: "false"}
            - {name: OAUTH2_PROXY_REQUEST_LOGGING, value: "false"}
          ports:
            - {name: http, containerPort: 4180, protocol: TCP}
            - {name: metrics, containerPort: 44180, protocol: TCP}
          readinessProbe:
            httpGet: {path: /ready, port: http}
          livenessProbe:
            httpGet: {path: /ping, port: http}
          resources:
            requests: {cpu: 10m, memory: 24Mi}
            limits: {memory: 64Mi}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: login, mountPath: /login, readOnly: true}
      volumes:
        - name: login
          secret:
            secretName: {{ $name }}
            items:
              - {key: htpasswd, path: htpasswd}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    # As its pods: by those of the application a monitor of the application would scrape the form.
    app.kubernetes.io/name: {{ $name }}
    app.kubernetes.io/instance: {{ $.Release.Name }}
    app.kubernetes.io/component: login
    app.kubernetes.io/part-of: {{ $platform.name }}
spec:
  selector:
    app.kubernetes.io/name: {{ $name }}
  ports:
    - {name: http, port: 4180, targetPort: http, protocol: TCP}
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
      app.kubernetes.io/name: {{ $name }}
  podMetricsEndpoints:
    - port: metrics
{{- if $ha }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      app.kubernetes.io/name: {{ $name }}
{{- end }}
{{- end }}
{{- $made := dict "Values" (dict "routes" $routes "secrets" $secrets "flows" $flows "global" .Values.global) "Release" .Release "Chart" .Chart }}
{{- include "common.routes" $made }}
{{- include "common.secrets" $made }}
{{- include "common.flows" $made }}
{{- end }}
