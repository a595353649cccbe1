"""Wiring: settings to running processes. The one place that knows every adapter."""
