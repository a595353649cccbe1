"""The OpenAPI document of the gateway's HTTP API, apart from its paths."""

from twite import __version__
from twite.http.openapi.bodies import BODIES, Json
from twite.http.openapi.shapes import component_schemas
from twite.x import spec


def document_of(paths: Json) -> Json:
    """Return the document with these paths."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Twite",
            "version": __version__,
            "summary": "A conversion gateway for X.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": _security()},
    }


def _schemas() -> Json:
    schemas = component_schemas()
    # Null once it is not kept any more.
    schemas["ToldLife"]["properties"]["sent"]["type"] = ["object", "null"]
    return {**BODIES, **schemas}


def _security() -> Json:
    return {
        "source key": {"type": "http", "scheme": "bearer"},
        "desk token": {"type": "http", "scheme": "bearer"},
        "pixel token": {"type": "apiKey", "in": "header", "name": spec.PIXEL_TOKEN_HEADER},
        "OAuth 1.0a": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "OAuth 1.0a (HMAC-SHA1), signed with the pixel's own credentials.",
        },
    }
