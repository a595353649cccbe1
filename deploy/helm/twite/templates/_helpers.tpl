{{- define "twite.name" -}}
{{- if contains "twite" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-twite" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "twite.selector" -}}
app.kubernetes.io/name: twite
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "twite.labels" -}}
{{ include "twite.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
