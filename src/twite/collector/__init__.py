"""What comes in over HTTP: the routes, and the server that listens."""

from twite.collector.application import Collector
from twite.collector.limits import Limits
from twite.collector.server import Server

__all__ = ["Collector", "Limits", "Server"]
