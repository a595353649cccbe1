"""The OpenAPI document, and the operations of servers, X clients and operators."""

from twite import __version__
from twite.formats.native.answers import ErrorBody, NativeReceipt
from twite.gateway.operations.control import ControlResult
from twite.http.openapi.schemas import (
    BODIES,
    KEYS,
    VERSION_HEADER,
    Json,
    component_schemas,
    errors,
    in_path,
    json_answer,
    json_body,
    ref,
    retry_header,
)
from twite.http.routes.native import ChoiceNoted
from twite.http.routes.reports import BalanceBy, HistoryView
from twite.http.routes.x_api import XErrors, XSuccess
from twite.x import spec


def submit() -> Json:
    return {
        "operationId": "submit",
        "summary": "Submit 1 to 1,000 conversions. The response is sent once they are on disk.",
        "description": (
            "Send `value` and `price` as decimal strings. One identifier that X accepts is "
            "enough: email, phone, click id, or IP address together with user agent. "
            "The body may be compressed with gzip or zstd, once."
        ),
        "security": KEYS,
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": (
                    "Use the same key in each retry. Conversions without an id get an id derived "
                    "from the key."
                ),
                "schema": {"type": "string", "pattern": "^[ -~]{1,255}$"},
            }
        ],
        "requestBody": json_body(
            {"anyOf": [ref("Native"), ref("Many")]},
            example={
                "event": "purchase",
                "conversion_id": "order-1001",
                "time": "2026-11-24T10:00:00Z",
                "value": "49.90",
                "currency": "EUR",
                "email": "shopper@example.com",
            },
        ),
        "responses": {
            "202": json_answer(
                (
                    "The accepted conversions are on disk. The response lists "
                    "rejected conversions, if any."
                ),
                NativeReceipt,
            ),
            "422": json_answer("All of its conversions were rejected.", NativeReceipt),
            **errors("400", "401", "408", "409", "413", "415", "429", "431", "500", "503"),
        },
    }


def history() -> Json:
    return {
        "operationId": "life",
        "summary": "The history of one conversion, attempt by attempt.",
        "description": "If several events of the pixel share the id, the response describes the "
        "latest, and `others` lists the rest. Use `event` to select one.",
        "security": KEYS,
        "parameters": [
            in_path("pixel"),
            in_path("conversion_id"),
            {
                "name": "event",
                "in": "query",
                "description": "The event's name in the configuration, or X's id.",
                "schema": {"type": "string"},
            },
        ],
        "responses": {
            "200": json_answer("The history.", HistoryView),
            **errors("401", "403", "404", "408", "431", "500", "503"),
        },
    }


def accounting() -> Json:
    return {
        "operationId": "accounting",
        "summary": "The balance of this source: received conversions, by state.",
        "security": KEYS,
        "responses": {
            "200": json_answer("The balance.", BalanceBy),
            **errors("401", "403", "408", "431", "500", "503"),
        },
    }


def consent() -> Json:
    return {
        "operationId": "consent",
        "summary": "Withdraw or restore a person's consent without a conversion.",
        "description": (
            "The choice applies to all conversions sent after the response, at all pixels of the "
            "source. "
            "One email, phone number or click id is enough."
        ),
        "security": KEYS,
        "requestBody": json_body(
            ref("Choice"),
            example={"email": "shopper@example.com", "consent": {"ad_user_data": "denied"}},
        ),
        "responses": {
            "200": json_answer("The person's new choice.", ChoiceNoted),
            **errors("400", "401", "408", "413", "415", "422", "431", "500", "503"),
        },
    }


def as_x(version: str) -> Json:
    refusals = {
        status: json_answer(why, XErrors, headers=VERSION_HEADER | retry_header(status))
        for status, why in {
            "400": "Refused as X would refuse the request, with X's error message.",
            "401": "The request has neither the pixel's token nor a valid signature.",
            "404": "The pixel is unknown, or the event belongs to another pixel.",
            "413": "The body is larger than 1 MiB after decompression.",
            "415": "The Content-Type is not JSON, or the encoding is not supported.",
            "429": "Too many requests; retry at the time in `x-rate-limit-reset`.",
            "500": "Internal error in Twite.",
            "503": "The commit failed; nothing was stored.",
        }.items()
    }
    return {
        "operationId": f"conversions_v{version}",
        "summary": "X's own route: clients of X's API change only the host.",
        "security": [{"pixel token": []}, {"OAuth 1.0a": []}],
        "parameters": [in_path("pixel_id")],
        "requestBody": json_body(
            ref("XRequest"),
            example={
                "conversions": [
                    {
                        "conversion_time": "2026-11-24T10:00:00.000Z",
                        "event_id": "tw-o8z6j-o8z6k",
                        "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
                        "conversion_id": "order-1001",
                        "value": "49.90",
                        "price_currency": "EUR",
                    }
                ]
            },
        ),
        "responses": {
            "200": json_answer(
                "The conversions are on disk. `debug_id` is Twite's receipt.",
                XSuccess,
                VERSION_HEADER,
            ),
            **refusals,
            **errors("408", "431"),
        },
    }


def operations() -> Json:
    return {
        "operationId": "desk",
        "summary": "Change deliveries, stored credentials or users, or erase a person.",
        "description": "For commands on the same machine. They read the token from a file next to "
        "the database. Without the token, the route answers 404.",
        "security": [{"desk token": []}],
        "requestBody": json_body(ref("Order")),
        "responses": {
            "200": json_answer("The number of deliveries that changed.", ControlResult),
            "409": json_answer("Stored credentials cannot be decrypted.", ErrorBody),
            **errors("400", "404", "408", "413", "415", "431", "500", "503"),
        },
    }


def healthz() -> Json:
    return {
        "operationId": "healthz",
        "summary": "Check that the process responds.",
        "responses": {"200": _status_ok(), **errors("408", "431")},
    }


def readyz() -> Json:
    return {
        "operationId": "readyz",
        "summary": "Check that the gateway accepts requests.",
        "responses": {"200": _status_ok(), **errors("408", "431", "500", "503")},
    }


def metrics() -> Json:
    return {
        "operationId": "metrics",
        "summary": ("Metrics for Prometheus. Requests from other machines need a metrics key."),
        "security": [{}, *KEYS],
        "responses": {
            "200": {
                "description": "The metrics.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            **errors("401", "408", "431", "500", "503"),
        },
    }


def itself() -> Json:
    return {
        "operationId": "openapi",
        "summary": "This document.",
        "responses": {
            "200": {
                "description": "It.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **errors("408", "431"),
        },
    }


def _status_ok() -> Json:
    shape = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
    return {"description": "Yes.", "content": {"application/json": {"schema": shape}}}


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
    # Null after the body has been deleted.
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
