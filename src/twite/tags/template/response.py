"""Build a client template's HTTP response from its effects.

Source: developers.google.com/tag-platform/tag-manager/server-side/api (setResponse…, setCookie,
setPixelResponse, returnResponse).
"""

import base64
import binascii
import re
from typing import Final

import msgspec

from twite.domain.people.console_cookies import is_console_cookie, sets_console_cookie
from twite.tags.template.effects import AnyEffect, Body, Header, PixelBody, SetCookie, Status

AUTO: Final = "auto"  # a cookie's domain: the registrable domain of the requested host
GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_COOKIE: Final = re.compile(r'[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e"]*')  # RFC 6265, 4.1.1
_ATTRIBUTE: Final = re.compile(r"[\x20-\x3a\x3c-\x7e]*")
# Headers of the connection itself; a template cannot set them.
_OWN: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding",
     "upgrade"}
)  # fmt: skip
_PIXEL: Final = (
    ("content-type", "image/gif"),
    ("cache-control", "no-cache, no-store, must-revalidate"),
    ("expires", "Mon, 01 Jan 1990 00:00:00 GMT"),
    ("pragma", "no-cache"),
)
_LEAST, _MOST = 200, 599  # final statuses only, not 1xx


class ClientResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response so far. Header names are in lower case; `cookies` are values of Set-Cookie."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[str, ...] = ()
    body: bytes = b""


class InvalidResponse(Exception):
    """An effect that HTTP cannot express; the message is for the template's author."""


def added(response: ClientResponse, effect: AnyEffect, *, site: str | None) -> ClientResponse:
    """Return the response with the effect applied, if it concerns the response.

    `site` is the registrable domain of the requested host, None if it has none. Raises
    InvalidResponse.
    """
    match effect:
        case Status(code=code):
            if not _LEAST <= code <= _MOST:
                raise InvalidResponse(f"{code} is not a response status")
            return msgspec.structs.replace(response, status=code)
        case Header(name=name, value=value):
            return _with_header(response, name, value)
        case Body(text=text, encoding=encoding):
            return msgspec.structs.replace(response, body=in_bytes(text, encoding))
        case PixelBody():
            kept = tuple(header for header in response.headers if header[0] not in dict(_PIXEL))
            return msgspec.structs.replace(response, status=200, body=GIF, headers=(*kept, *_PIXEL))
        case SetCookie():
            return _with_cookie(response, effect, site)
    return response


def in_bytes(text: str, encoding: str) -> bytes:
    """Return the bytes of a string in one of Node's encodings."""
    match encoding.lower():
        case "ascii" | "latin1" | "binary":
            return bytes(ord(letter) & 0xFF for letter in text)
        case "utf16le" | "utf-16le" | "ucs2" | "ucs-2":
            return text.encode("utf-16-le", "surrogatepass")
        case "base64" | "base64url":
            return _of_base64(text)
        case "hex":
            digits = re.match(r"(?:[0-9a-fA-F]{2})*", text)
            return bytes.fromhex(digits[0] if digits else "")
    return text.encode("utf-8", "replace")


def _of_base64(text: str) -> bytes:
    plain = re.sub(r"[^A-Za-z0-9+/]", "", text.translate({45: 43, 95: 47}))
    whole = plain if len(plain) % 4 != 1 else plain[:-1]
    try:
        return base64.b64decode(whole + "=" * (-len(whole) % 4))
    except binascii.Error:
        return b""


def _with_header(response: ClientResponse, name: str, value: str | None) -> ClientResponse:
    if not _TOKEN.fullmatch(name) or name in _OWN:
        raise InvalidResponse("the template sets a header without a name, or a connection header")
    kept = tuple(header for header in response.headers if header[0] != name)
    if value is None:
        return msgspec.structs.replace(response, headers=kept)
    if _CONTROL.search(value):
        raise InvalidResponse(f"the header {name} contains a control character")
    if name == "set-cookie" and sets_console_cookie(value):
        raise InvalidResponse("the header set-cookie sets a cookie of the console")
    if name == "clear-site-data":
        raise InvalidResponse("the header clear-site-data would delete the cookies of the console")
    return msgspec.structs.replace(response, headers=(*kept, (name, value)))


def _with_cookie(response: ClientResponse, cookie: SetCookie, site: str | None) -> ClientResponse:
    if not _TOKEN.fullmatch(cookie.name):
        raise InvalidResponse("the template sets a cookie with an invalid name")
    if is_console_cookie(cookie.name):
        raise InvalidResponse(f"the cookie {cookie.name} belongs to the console")
    if not _COOKIE.fullmatch(cookie.value):
        raise InvalidResponse(f"the cookie {cookie.name} has an invalid character in its value")
    written = f"{cookie.name}={cookie.value}" + "".join(
        f"; {attribute}" for attribute in _attributes(cookie, site)
    )
    # If a browser would store two cookies under one key, the later cookie replaces the earlier.
    kept = tuple(
        cooky for cooky in response.cookies if cookie_place(cooky) != cookie_place(written)
    )
    return msgspec.structs.replace(response, cookies=(*kept, written))


def _attributes(cookie: SetCookie, site: str | None) -> list[str]:
    domain = cookie.domain
    if domain == AUTO:
        domain = site or cookie.fallback_domain
    found = [f"Domain={domain}"] if domain else []
    found.append(f"Path={cookie.path or '/'}")
    if cookie.max_age is not None:
        found.append(f"Max-Age={cookie.max_age}")
    elif cookie.expires:
        found.append(f"Expires={cookie.expires}")
    found += [
        word
        for word, is_set in (("Secure", cookie.secure), ("HttpOnly", cookie.http_only))
        if is_set
    ]
    if cookie.same_site:
        found.append(f"SameSite={cookie.same_site.capitalize()}")
    if not all(_ATTRIBUTE.fullmatch(attribute) for attribute in found):
        raise InvalidResponse(f"the cookie {cookie.name} has an invalid attribute")
    return found


def cookie_place(cookie: str) -> tuple[str, frozenset[str]]:
    """Return the key under which a browser stores a cookie: its name, domain and path."""
    pair, *attributes = cookie.split("; ")
    name = pair.partition("=")[0]
    return name, frozenset(
        attribute for attribute in attributes if attribute.startswith(("Domain=", "Path="))
    )
