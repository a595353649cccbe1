{{- /* The pod of both kinds of store. */}}
{{- define "twite.pod" -}}
metadata:
  labels:
    {{- include "twite.labels" . | nindent 4 }}
  annotations:
    checksum/settings: {{ include (print $.Template.BasePath "/settings.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  # Without this, Kubernetes sets variables such as TWITE_PORT for each Service.
  enableServiceLinks: false
  # 5 s of the preStop hook, and 45 s for the gateway.
  terminationGracePeriodSeconds: 50
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "twite.podRights" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "twite.selector" . | nindent 10 }}
  containers:
    - name: gateway
      image: {{ include "twite.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/twite/twite.toml]
      envFrom:
        - secretRef: { name: {{ .Values.secret }} }
      env:
        - name: TWITE_SERVER__LISTEN
          value: 0.0.0.0:8080
        - name: TWITE_STORE__URL
          value: {{ eq .Values.store.kind "sqlite" | ternary "sqlite:/data/twite.db" (printf "env:%s" .Values.store.urlKey) }}
        {{- if .Values.monitoring.enabled }}
        - name: TWITE_SERVER__METRICS_KEY
          value: {{ printf "env:%s" .Values.monitoring.metricsKey }}
        {{- end }}
      ports:
        - { name: http, containerPort: 8080 }
      startupProbe:
        httpGet: { path: /healthz, port: http }
        periodSeconds: 5
        failureThreshold: {{ div (add .Values.startupSeconds 4) 5 }}
      livenessProbe:
        httpGet: { path: /healthz, port: http }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: /readyz, port: http }
        periodSeconds: 2
        timeoutSeconds: 2
        failureThreshold: 2
      lifecycle:
        # The endpoints of the Service change before the gateway stops.
        preStop: { sleep: { seconds: 5 } }
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "twite.rights" . | nindent 8 }}
      volumeMounts:
        - { name: settings, mountPath: /etc/twite, readOnly: true }
        - { name: data, mountPath: /data }
        - { name: tmp, mountPath: /tmp }
  volumes:
    - name: settings
      configMap: { name: {{ include "twite.name" . }} }
    - name: tmp
      emptyDir: { sizeLimit: 64Mi }
    {{- if eq .Values.store.kind "postgresql" }}
    - name: data
      emptyDir: { sizeLimit: 64Mi }
    {{- end }}
{{- end }}
