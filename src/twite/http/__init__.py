"""The HTTP layer: routes, request reading, authentication, and the listening server."""

from twite.http.application import HttpApplication
from twite.http.limits import HttpLimits
from twite.http.server import Server

__all__ = ["HttpApplication", "HttpLimits", "Server"]
