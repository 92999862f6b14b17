"""Monitoring: exporters on every host; Prometheus, Alertmanager and blackbox probes on the monitoring host."""
