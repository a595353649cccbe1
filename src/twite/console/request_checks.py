"""Check a request before it is answered: client address, host name, and form token."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from twite.domain.loopback import is_own_name
from twite.domain.people.console_cookies import HOST_BOUND, SESSION, THEME, VISITOR, ZONE

Network = IPv4Network | IPv6Network
Themes: Final = ("auto", "light", "dark")

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
# A path without `..` or `.` segments, percent-encoded or not.
_INSIDE: Final = re.compile(
    r"/console(?:/(?!(?:\.|%2[eE]){1,2}(?:[/?]|$))[\w.~%@:+-]+)*/?(?:\?[\w.~%&=@:+/-]*)?",
    re.ASCII,
)
# The form of names in the tz database, such as America/Argentina/Ushuaia or Etc/GMT+5.
_ZONE_NAME: Final = re.compile(
    r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,31}){0,2}", re.ASCII
)
_YEAR_SECONDS: Final = 365 * 86_400


class AccessDenied(Exception):
    """The request is refused, with a sentence that gives the reason."""

    def __init__(self, status: int, title: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.title = title
        self.sentence = sentence


class AllowedHost(msgspec.Struct, frozen=True, kw_only=True):
    """The host name of the request."""

    origin: str
    is_secure: bool

    @property
    def session_cookie(self) -> str:
        return f"{HOST_BOUND}{SESSION}" if self.is_secure else SESSION

    @property
    def visitor_cookie(self) -> str:
        return f"{HOST_BOUND}{VISITOR}" if self.is_secure else VISITOR


class RequestChecks:
    """The checks of requests.

    `client_of` returns the client's address, None if it is unknown. `url` is the public URL, which
    is accepted if it is https. Names of this machine are always accepted.
    """

    def __init__(
        self,
        *,
        client_of: Callable[[Scope], str | None],
        networks: Sequence[Network],
        url: str | None,
    ) -> None:
        self._client_of = client_of
        self._networks = tuple(networks)
        public = urlsplit(url or "")
        self._public = public.netloc.lower() if public.scheme == "https" else None

    def address(self, scope: Scope) -> str:
        """Return the client's address. Raises AccessDenied if it is outside the networks."""
        address = self._client_of(scope)
        if address is not None:
            there = ip_address(address)
            if any(
                there in network for network in self._networks if network.version == there.version
            ):
                return address
        raise AccessDenied(
            403,
            "Network not allowed",
            f"The console is not open to {address}. "
            "The operator of this gateway can add your network to console.networks in twite.toml."
            if address
            else (
                "Twite cannot tell your address, perhaps because of a proxy, so the console is "
                "closed. The proxy must set X-Forwarded-For and be listed in "
                "server.trusted_proxies. On the machine itself, open the console at "
                "server.local_listen."
            ),
        )

    def name(self, request: Request) -> AllowedHost:
        """Return the host name of the request.

        Raises AccessDenied for a name that is not this gateway's (DNS rebinding).
        """
        host = request.headers.get("host", "").lower()
        if host == self._public:
            return AllowedHost(origin=f"https://{host}", is_secure=True)
        if is_own_name(host):
            return AllowedHost(origin=f"http://{host}", is_secure=False)
        there = f"https://{self._public}/console" if self._public else "http://127.0.0.1/console"
        raise AccessDenied(
            421,
            "Unknown host name",
            f"Open the console at {there}, or as localhost on its own machine. Other addresses "
            f"need https. Set the console's address with console.url in twite.toml.",
        )


def refuse_strangers(request: Request, host: AllowedHost) -> None:
    """Raise AccessDenied if the browser's headers say that another site sent the form."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in {None, "same-origin"} or origin != host.origin:
        raise AccessDenied(
            403,
            "From another site",
            "This form was not sent by a page of the console, so nothing was changed. A proxy in "
            "front of Twite must forward the Host header unchanged.",
        )


def refuse_unmeant(token: str, offered: str) -> None:
    """Raise AccessDenied if a form lacks the token of its page."""
    if not hmac.compare_digest(form_token(token).encode(), offered.encode("utf-8", "replace")):
        raise AccessDenied(
            403,
            "Form expired",
            "This form was loaded before you signed in, or does not belong to the console. "
            "Nothing was changed. Go back, reload the page and send the form again.",
        )


def form_token(token: str) -> str:
    """Return the token for the forms of a session. It does not reveal the session's token."""
    return hmac.new(token.encode(), b"twite form", hashlib.sha256).hexdigest()


def fresh_token() -> str:
    """Return a token of 256 random bits."""
    return secrets.token_urlsafe(32)


def offered_token(request: Request, cookie: str) -> str | None:
    """Return the token from a cookie, if its form is valid."""
    held = request.cookies.get(cookie, "")
    return held if _TOKEN.fullmatch(held) else None


def keep_token(response: Response, cookie: str, token: str, *, host: AllowedHost) -> None:
    """Set the cookie with the token; it ends when the browser closes."""
    response.set_cookie(
        cookie, token, path="/", secure=host.is_secure, httponly=True, samesite="lax"
    )


def forget_token(response: Response, cookie: str, *, host: AllowedHost) -> None:
    response.delete_cookie(cookie, path="/", secure=host.is_secure, httponly=True, samesite="lax")


def theme_of(request: Request) -> str:
    """Return the chosen theme: auto, light or dark."""
    held = request.cookies.get(THEME, "")
    return held if held in Themes else "auto"


def keep_theme(response: Response, theme: str, *, host: AllowedHost) -> None:
    """Set the cookie with the theme, for one year."""
    response.set_cookie(
        THEME,
        theme,
        path="/console",
        max_age=_YEAR_SECONDS,
        secure=host.is_secure,
        httponly=True,
        samesite="lax",
    )


def zone_of(request: Request) -> ZoneInfo:
    """Return the time zone of the browser, from the cookie that the script sets; otherwise UTC."""
    name = request.cookies.get(ZONE, "")
    return _zone(name) if _ZONE_NAME.fullmatch(name) else _zone("UTC")


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return ZoneInfo("UTC")


def inside(path: str) -> str:
    """Return the path if it belongs to the console; otherwise the console's start page."""
    fits = len(path) <= 2_000 and _INSIDE.fullmatch(path)
    return path if fits else "/console"
