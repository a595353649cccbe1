"""What comes in over HTTP: the routes, and the server that listens."""

from twite.http.application import HttpApplication
from twite.http.limits import HttpLimits
from twite.http.server import Server

__all__ = ["HttpApplication", "HttpLimits", "Server"]
