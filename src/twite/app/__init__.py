"""Wiring: build the running processes from the settings. Only this package knows every adapter."""
