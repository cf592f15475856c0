{{- /*
The upstream chart has no value for a pod's priority. A template of the parent chart takes the place of the subchart's of the same name; this
one stands in the pod's spec, and what the chart writes there, secrets for a registry, isn't used.
*/ -}}
{{- define "backstage.renderImagePullSecrets" -}}
priorityClassName: platform-portal
{{- end }}
