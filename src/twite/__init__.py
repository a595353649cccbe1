"""Twite: a self-hosted conversion gateway for X."""

__version__ = "0.1.0"
