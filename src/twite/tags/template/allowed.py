"""Check an effect of a template against its permissions, before it is performed."""

import re
from collections.abc import Iterable
from typing import Final

from twite.tags.google_requests.request import ANALYTICS, PLACES
from twite.tags.template.effects import (
    AfterEvent,
    AnyEffect,
    Body,
    BrowserPixel,
    Effect,
    Forget,
    Header,
    HttpEffect,
    Keep,
    LogEffect,
    MessageEffect,
    PixelBody,
    Respond,
    RunContainer,
    Service,
    SetCookie,
    Status,
)
from twite.tags.template.permissions import EVERYTHING, PermissionPolicy

# The name of the container's own project in permissions.
OWN_PROJECT: Final = "GOOGLE_CLOUD_PROJECT"
_PLAIN: Final[dict[type[Effect], str]] = {
    Respond: "return_response",
    RunContainer: "run_container",
    AfterEvent: "read_event_metadata",
    Keep: "access_template_storage",
    Forget: "access_template_storage",
}


def lacking(effect: AnyEffect, policy: PermissionPolicy) -> str | None:
    """Return the permission that an effect needs and the template lacks, or None."""
    match effect:
        case HttpEffect():
            needed, held = _request_allowed(effect, policy)
        case BrowserPixel():
            needed, held = "send_pixel_from_browser", matches(policy.pixels, effect.url)
        case SetCookie():
            needed, held = "set_cookies", _cookie_allowed(effect, policy)
        case Status() | Body() | Header() | PixelBody():
            needed, held = "access_response", _response_allowed(effect, policy)
        case MessageEffect():
            types = tuple(kind for kind, action in policy.messages if action != "listen")
            needed, held = "use_message", matches(types, effect.type)
        case LogEffect():
            needed, held = "logging", bool(policy.logging or effect.denied or effect.own)
        case Service():
            needed, held = _service_allowed(effect, policy)
        case _:
            needed = _PLAIN.get(type(effect), "")
            held = not needed or needed in policy.plain
    return None if held else needed


def matches(patterns: tuple[str, ...], text: str) -> bool:
    return any(_matches(pattern, text) for pattern in patterns)


def row_allowed(rows: Iterable[tuple[str, ...]], place: tuple[object, ...]) -> bool:
    return any(
        all(isinstance(part, str) and _matches(row[at], part) for at, part in enumerate(place))
        for row in rows
    )


def _request_allowed(effect: HttpEffect, policy: PermissionPolicy) -> tuple[str, bool]:
    scopes = effect.authorization or ()
    if not all(matches(policy.scopes, scope) for scope in scopes):
        return "use_google_credentials", False
    return "send_http", matches(policy.urls, effect.url)


def _response_allowed(part: Status | Body | Header | PixelBody, policy: PermissionPolicy) -> bool:
    match part:
        case Status():
            return "status" in policy.response
        case Body():
            return "body" in policy.response
        case Header():
            return matches(policy.response_headers, part.name)
    return {"status", "body"} <= set(policy.response) and bool(policy.response_headers)


def _cookie_allowed(cookie: SetCookie, policy: PermissionPolicy) -> bool:
    is_session = cookie.expires is None and cookie.max_age is None
    return any(
        _matches(rule.name, cookie.name)
        and _matches(rule.domain, cookie.domain or "")
        and _matches(rule.path, cookie.path or "")
        and rule.secure in {None, cookie.secure}
        and rule.session in {None, is_session}
        for rule in policy.set_cookies
    )


def _service_allowed(service: Service, policy: PermissionPolicy) -> tuple[str, bool]:
    """Return the permission that a call needs, and whether it has it. Unknown calls do not."""
    first = service.arguments[0] if service.arguments else None
    match service.name, first:
        case "BigQuery.insert", {
            "projectId": str() as project,
            "datasetId": str() as dataset,
            "tableId": str() as table,
        }:
            whole = (project or OWN_PROJECT, dataset, table, "write")
            return "access_bigquery", row_allowed(policy.tables, whole)
        case (("Firestore.read" | "Firestore.query" | "Firestore.write"), str() as path):
            operation = "write" if service.name == "Firestore.write" else "read"
            place = (_project(service), path, operation)
            return "access_firestore", row_allowed(policy.documents, place)
        case (("Firestore.begin" | "Firestore.commit" | "Firestore.rollback"), _):
            return "access_firestore", bool(policy.documents)
        case "getGoogleScript", str() as script:
            return "send_http", matches(policy.urls, PLACES.get(script, PLACES["GTM"]))
        case "sendEventToGoogleAnalytics", _:
            return "send_http", matches(policy.urls, ANALYTICS)
    return service.name, False


def _project(service: Service) -> object:
    at = 1 if service.name == "Firestore.read" else 2
    options = service.arguments[at] if at < len(service.arguments) else None
    return (options.get("projectId") if isinstance(options, dict) else None) or OWN_PROJECT


def _matches(pattern: str, text: str) -> bool:
    return pattern == EVERYTHING or re.fullmatch(pattern, text) is not None
