{{- define "autoglm.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "autoglm.fullname" -}}
{{- $name := include "autoglm.name" . -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{/* Cluster-wide objects carry the namespace in their name, so that releases of the same name don't meet. */}}
{{- define "autoglm.clusterName" -}}
{{ .Release.Namespace }}:{{ include "autoglm.fullname" . }}
{{- end -}}

{{- define "autoglm.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: {{ include "autoglm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: autoglm
{{- end -}}

{{/* Selector labels of a component: (dict "root" $ "component" "operator") */}}
{{- define "autoglm.selector" -}}
app.kubernetes.io/name: {{ include "autoglm.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Image reference: (dict "root" $ "image" .Values.image) */}}
{{- define "autoglm.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.imageRegistry }}{{ $repository = printf "%s/%s" . $repository }}{{ end -}}
{{- if .image.digest -}}{{ printf "%s@%s" $repository .image.digest }}{{- else -}}{{ printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) }}{{- end -}}
{{- end -}}

{{- define "autoglm.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "autoglm.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- define "autoglm.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Scheduling of a component: its values */}}
{{- define "autoglm.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "autoglm.probes" -}}
livenessProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 10
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 5
startupProbe:
  httpGet: { path: /healthz, port: metrics }
  periodSeconds: 2
  failureThreshold: 60
{{- end -}}

{{- define "autoglm.natsUrl" -}}
nats://{{ include "autoglm.fullname" . }}-nats.{{ .Release.Namespace }}.svc:4222
{{- end -}}

{{- define "autoglm.busSecret" -}}
{{ include "autoglm.fullname" . }}-bus
{{- end -}}
