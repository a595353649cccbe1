"""The HTTP layer: routes, request reading, authentication, and the listening server."""

from twite.http.application import HttpApplication
from twite.http.limits import HttpLimits
from twite.http.server import Server
from twite.http.services import GatewayServices, HttpSettings

__all__ = ["GatewayServices", "HttpApplication", "HttpLimits", "HttpSettings", "Server"]
