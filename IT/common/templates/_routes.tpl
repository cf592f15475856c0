{{- /* One HTTPRoute a host, on the gateway's https listener only: on the http listener it would win over the redirect. */ -}}
{{- define "common.routes" -}}
{{- range $host, $route := .Values.routes }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: {{ $host }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "common.labels" $ | nindent 4 }}
spec:
  parentRefs:
    - group: gateway.networking.k8s.io
      kind: Gateway
      name: platform
      namespace: gateway
      sectionName: https
  hostnames:
    - {{ $host }}.{{ $.Values.global.platform.domain }}
  rules:
    - matches:
        - path: {type: PathPrefix, value: /}
      backendRefs:
        - group: ""
          kind: Service
          name: {{ required (printf "routes.%s.service" $host) $route.service }}
          port: {{ required (printf "routes.%s.port" $host) $route.port }}
          weight: 1
{{- end }}
{{- end }}
