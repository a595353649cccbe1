"""Permissions of a template: read SERVER_PERMISSIONS, and build a policy to check calls.

A policy's patterns are regular expressions with the same meaning in Python and JavaScript, because
the sandbox checks each call, and the code that performs the effect checks it again. A call without
a permission is refused. A URL pattern matches URLs that begin with it. `*` matches any labels in
its host, and any text in its path. A pattern without a path matches all URLs of the host. In names,
`*` matches any text.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from twite.tags.json_tree import Tree, WrongShape, as_list, as_mapping, as_text

# Google's own domains, which `allowGoogleDomains` adds. The list is not published; these are the
# domains that Google's own tags call.
GOOGLE: Final = (
    "google.com",
    "googleapis.com",
    "google-analytics.com",
    "googletagmanager.com",
    "googleadservices.com",
    "doubleclick.net",
)
EVERYTHING: Final = ".*"
ALL: Final = (EVERYTHING,)
_URL: Final = re.compile(r"(https?)://([^/?#\s\\@]+)([/?#].*)?", re.IGNORECASE)
_SPECIAL: Final = re.compile(r"[.^$+?()\[\]{}|\\/-]")


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of SERVER_PERMISSIONS: Google's name, and its parameters as plain values."""

    permission: str
    parameters: dict[str, Tree] = {}


class CookieGrant(msgspec.Struct, frozen=True, kw_only=True):
    """Cookies that may be set: expressions, and two flags: True, False, or None for any."""

    name: str
    domain: str
    path: str
    secure: bool | None
    session: bool | None


class PermissionPolicy(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All grants of a template. The tuple (".*",) allows everything; an empty tuple allows nothing.

    `plain` names the permissions that have no parameters. `tables` has (project, dataset, table,
    operation), `documents` (project, path, operation) and `messages` (type, action); all are
    expressions.
    """

    plain: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    request: tuple[str, ...] = ()  # a subset of: body, path, remote_address
    event: tuple[str, ...] = ()
    read_cookies: tuple[str, ...] = ()
    set_cookies: tuple[CookieGrant, ...] = ()
    logging: str = ""  # "", "debug" or "all"
    response: tuple[str, ...] = ()  # a subset of: status, body
    response_headers: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    tables: tuple[tuple[str, str, str, str], ...] = ()
    documents: tuple[tuple[str, str, str], ...] = ()


def read_grants(tree: Tree) -> tuple[Grant, ...]:
    """Read SERVER_PERMISSIONS. Raises WrongShape."""
    grants = []
    for entry in map(as_mapping, as_list(tree)):
        instance = as_mapping(entry.get("instance"))
        parameters = {
            as_text(parameter.get("key")): _plain(as_mapping(parameter.get("value")))
            for parameter in map(as_mapping, as_list(instance.get("param")))
        }
        name = as_text(as_mapping(instance.get("key")).get("publicId"))
        grants.append(Grant(permission=name, parameters=parameters))
    return tuple(grants)


def policy(grants: tuple[Grant, ...]) -> PermissionPolicy:
    """Join the grants. An unknown permission grants nothing. Raises WrongShape."""
    found: dict[str, tuple[object, ...] | str] = {"plain": tuple(g.permission for g in grants)}
    for grant in grants:
        read = READERS.get(grant.permission)
        for name, value in (read(grant.parameters) if read else {}).items():
            before = found.get(name, () if isinstance(value, tuple) else "")
            joined = before + value if isinstance(before, tuple) else max(before, value, key=len)  # type: ignore[operator]  # each name has one of the two
            found[name] = joined
    return msgspec.convert(found, PermissionPolicy)


def url_expression(pattern: str) -> str:
    """Return the regular expression of a URL pattern, described in the module's docstring.

    Raises WrongShape for an invalid URL.
    """
    found = _URL.fullmatch(pattern.strip())
    if found is None:
        raise WrongShape(
            f"{pattern!r} is not a URL pattern: it must begin with https:// and a host"
        )
    scheme, host, rest = found.groups()
    place = _expression(host.lower(), r"[^/?#@\\]*")
    if host.endswith(":*"):
        place = _expression(host[:-2].lower(), r"[^/?#@\\:]*") + r"(?::\d+)?"
    begin = f"{scheme.lower()}://{place}"
    if not rest:
        return begin + r"(?:[/?#].*)?"
    # The two ways to write a whole host, `https://*.example.com/` and `…/*`, mean the same.
    return begin + _expression(rest, ".*") + ("" if rest.endswith("*") else ".*")


def _plain(value: Mapping[str, Tree]) -> Tree:
    match value.get("type"):
        case 1:
            return as_text(value.get("string"))
        case 2:
            return [_plain(as_mapping(item)) for item in as_list(value.get("listItem"))]
        case 3:
            names = [as_text(_plain(as_mapping(item))) for item in as_list(value.get("mapKey"))]
            values = [_plain(as_mapping(item)) for item in as_list(value.get("mapValue"))]
            if len(names) != len(values):
                raise WrongShape("a map's names and values differ in number")
            return dict(zip(names, values, strict=True))
        case 8:
            return value.get("boolean") is True
    raise WrongShape(f"a value has the unknown type {value.get('type')}")


def _expression(text: str, star: str) -> str:
    return star.join(_SPECIAL.sub(r"\\\g<0>", part) for part in text.split("*"))


def _names(values: Tree, key: str = "", *, lower: bool = False) -> tuple[str, ...]:
    names = [
        as_text(as_mapping(name).get(key)) if key else as_text(name) for name in as_list(values)
    ]
    return tuple(_expression(n.lower() if lower else n, r"[\s\S]*") for n in names)


Parameters = Mapping[str, Tree]


def _urls(into: str) -> Callable[[Parameters], dict[str, tuple[str, ...]]]:
    def read(given: Parameters) -> dict[str, tuple[str, ...]]:
        if given.get("allowedUrls", "any") == "any":
            return {into: ALL}
        own = tuple(url_expression(as_text(url)) for url in as_list(given.get("urls")))
        google = (
            tuple(
                rf"https://(?:[^/?#@\\:]*\.)?{_expression(domain, '')}(?:[/?#].*)?"
                for domain in GOOGLE
            )
            if given.get("allowGoogleDomains") is True
            else ()
        )
        return {into: own + google}

    return read


def _request(given: Parameters) -> dict[str, tuple[str, ...]]:
    if given.get("requestAccess", "any") == "any":
        return {"headers": ALL, "query": ALL, "request": ("body", "path", "remote_address")}
    named = {"body": "bodyAllowed", "path": "pathAllowed", "remote_address": "remoteAddressAllowed"}
    return {
        "headers": _listed(given, "headers", "header", "headerName", lower=True),
        "query": _listed(given, "queryParameters", "queryParameter", "queryParameter"),
        "request": tuple(part for part, flag in named.items() if given.get(flag) is True),
    }


def _listed(
    given: Parameters, allowed: str, kind: str, column: str, *, lower: bool = False
) -> tuple[str, ...]:
    if given.get(f"{allowed}Allowed") is not True:
        return ()
    if given.get(f"{kind}Access") == "any":
        return ALL
    return _names(given.get(f"{kind}Whitelist"), column, lower=lower)


def _response(given: Parameters) -> dict[str, tuple[str, ...]]:
    if given.get("writeResponseAccess", "any") == "any":
        return {"response": ("status", "body"), "response_headers": ALL}
    headers: tuple[str, ...] = ()
    if given.get("writeHeadersAllowed") is True:
        headers = (
            ALL
            if given.get("writeHeaderAccess") == "any"
            else _names(given.get("writeHeaderWhitelist"), "headerName", lower=True)
        )
    named = {"status": "writeStatusAllowed", "body": "writeBodyAllowed"}
    return {
        "response": tuple(part for part, flag in named.items() if given.get(flag) is True),
        "response_headers": headers,
    }


def _event(given: Parameters) -> dict[str, tuple[str, ...]]:
    if given.get("eventDataAccess", "any") == "any":
        return {"event": ALL}
    patterns = map(as_text, as_list(given.get("keyPatterns")))
    return {"event": tuple(map(_key_expression, patterns))}


def _key_expression(pattern: str) -> str:
    """Return the expression of a key pattern. `user_data.*` also covers `user_data`."""
    if pattern.endswith(".*"):
        return _expression(pattern[:-2], r"[\s\S]*") + r"(?:\.[\s\S]*)?"
    return _expression(pattern, r"[\s\S]*")


def _read_cookies(given: Parameters) -> dict[str, tuple[str, ...]]:
    any_name = given.get("cookieAccess", "any") == "any"
    return {"read_cookies": ALL if any_name else _names(given.get("cookieNames"))}


def _set_cookies(given: Parameters) -> dict[str, tuple[CookieGrant, ...]]:
    rows = [as_mapping(row) for row in as_list(given.get("allowedCookies"))]
    return {
        "set_cookies": tuple(
            CookieGrant(
                name=_expression(as_text(row.get("name")), r"[\s\S]*"),
                domain=_expression(as_text(row.get("domain")) or "*", r"[\s\S]*"),
                path=_expression(as_text(row.get("path")) or "*", r"[\s\S]*"),
                secure=_flag(as_text(row.get("secure"))),
                session=_flag(as_text(row.get("session"))),
            )
            for row in rows
        )
    }


def _flag(word: str) -> bool | None:
    """Read a flag: `any`, a word that requires it (`secure`, `session`, `require_…`), or a ban."""
    if word in {"", "any"}:
        return None
    return word in {"secure", "session"} or word.startswith("require")


def _messages(given: Parameters) -> dict[str, tuple[tuple[str, str], ...]]:
    if given.get("allowedActions", "any") == "any":
        return {"messages": ((EVERYTHING, EVERYTHING),)}
    rows = [as_mapping(row) for row in as_list(given.get("messageTypes"))]
    both = {"": EVERYTHING, "any": EVERYTHING, "listen_and_send": EVERYTHING}
    return {
        "messages": tuple(
            (_expression(as_text(row.get("type")), r"[\s\S]*"), both.get(action, action))
            for row in rows
            for action in [as_text(row.get("action"))]
        )
    }


Rows = dict[str, tuple[tuple[str, ...], ...]]


def _rows(into: str, key: str, columns: tuple[str, ...]) -> Callable[[Parameters], Rows]:
    def read(given: Parameters) -> Rows:
        rows = [as_mapping(row) for row in as_list(given.get(key))]
        return {into: tuple(tuple(_cell(row, column) for column in columns) for row in rows)}

    return read


def _cell(row: Parameters, column: str) -> str:
    text = as_text(row.get(column))
    if column == "operation":
        return EVERYTHING if text in {"", "any", "read_write"} else _expression(text, "")
    return _expression(text or "*", r"[\s\S]*")


def _keys(given: Parameters) -> dict[str, tuple[str, ...]]:
    # Exports have both spellings of the parameter.
    return {"keys": _names(given.get("keyIds")) + _names(given.get("keys"))}


READERS: Final[Mapping[str, Callable[[Parameters], Mapping[str, tuple[object, ...] | str]]]] = {
    "send_http": _urls("urls"),
    "send_pixel_from_browser": _urls("pixels"),
    "read_request": _request,
    "read_event_data": _event,
    "get_cookies": _read_cookies,
    "set_cookies": _set_cookies,
    "logging": lambda given: {"logging": as_text(given.get("environments")) or "debug"},
    "access_response": _response,
    "use_message": _messages,
    "use_custom_private_keys": _keys,
    "use_google_credentials": lambda given: {"scopes": _names(given.get("allowedScopes"))},
    "access_bigquery": _rows(
        "tables", "allowedTables", ("projectId", "datasetId", "tableId", "operation")
    ),
    "access_firestore": _rows("documents", "allowedOptions", ("projectId", "path", "operation")),
}
