"""Click and client id cookies.

The server sets them, because browsers limit the lifetime of cookies from scripts.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec
from publicsuffixlist import PublicSuffixList
from starlette.types import Scope

from twite.consent.google import denies_analytics
from twite.consent.verdict import verdict
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.domain.destination import ClickCookie
from twite.domain.people.console_cookies import SESSION, without_console_cookies
from twite.domain.times import DAY, SECOND
from twite.formats.data_tag.event import CLIENT_COOKIE, CLIENT_COOKIE_SECONDS, client_cookie
from twite.formats.ga4 import client_cookie as fpid
from twite.formats.page_visit import OF_X, Click, cookie_value
from twite.http.addresses import host_of
from twite.http.origins import PageVisit

# Storing any id on the device needs the same consent as storing a click.
_SOME_CLICK: Final = Click(id="click")
# The rules of consent verdicts for which the person has not denied consent.
_UNDECIDED: Final = frozenset({"missing", "unclear"})
_CONSOLE: Final = SESSION.encode()


def set_cookies(
    click: Click, *, cookie: ClickCookie, domain: str | None, now: int
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that store a click until it expires; none for an expired click.

    `domain` is the registrable domain, or None for a host-only cookie. A click of unknown age
    counts as new, so that a later click is newer still.
    """
    at = click.at or now
    left = (at + cookie.days * DAY - now) // SECOND
    if left <= 0:
        return ()
    dated = Click(id=click.id, at=at)
    return tuple(
        named_cookie(
            name,
            cookie_value(name, dated),
            seconds=left,
            domain=domain,
            http_only=cookie.http_only and name != OF_X,
        )
        for name in cookie.names
    )


def named_cookie(
    name: str, value: str, *, seconds: int, domain: str | None, http_only: bool
) -> tuple[bytes, bytes]:
    """Return the header that sets a cookie.

    `value` is ASCII, without characters that end a cookie.
    """
    parts = [f"{name}={value}", "Path=/", f"Max-Age={seconds}"]
    if domain is not None:
        parts.append(f"Domain={domain}")
    parts += ["Secure", "SameSite=Lax"]
    if http_only:
        parts.append("HttpOnly")
    return b"set-cookie", "; ".join(parts).encode("ascii")


def drop_cookies(names: Iterable[str], *, domain: str | None) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that delete cookies of these names."""
    where = "" if domain is None else f"; Domain={domain}"
    return tuple(
        (b"set-cookie", f"{name}=; Path=/; Max-Age=0{where}; Secure; SameSite=Lax".encode("ascii"))
        for name in names
    )


def cookie_domain(hosts: tuple[str | None, ...], origin: str) -> tuple[bool, str | None]:
    """Return whether a cookie of the gateway is first-party for the page, and its domain.

    `hosts` are possible host names of the request, most likely first. The first host on the page's
    site is used. An IP address and a name without a registrable domain (a public suffix,
    `localhost`) get a host-only cookie: (True, None).
    """
    page = host_of(origin)
    for host in hosts:
        if host is None or page is None:
            continue
        registrable = registrable_domain(host)
        if registrable is None:
            if host == page:
                return True, None
        elif registrable == registrable_domain(page):
            return True, registrable
    return False, None


@lru_cache(maxsize=1_024)
def registrable_domain(host: str) -> str | None:
    """Return the registrable domain of a host, according to the Public Suffix List, or None."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found: str | None = _suffixes().privatesuffix(host)
        return found
    return None


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


Signals = Mapping[str, str | bool]
Headers = tuple[tuple[bytes, bytes], ...]


class BrowserCookies(msgspec.Struct, frozen=True, kw_only=True):
    """Stores a click or a client id in the browser, with the response to a page's request.

    Consent must allow it, and the page must be on the gateway's site. If the person denies consent,
    existing cookies are deleted. `signal_sets` are the request's sets of consent signals, all of
    which must allow it. `hosts` are possible host names of the request, most likely first;
    `cookies` are the cookies that the browser sent.
    """

    signal_sets: Sequence[Signals]
    visit: PageVisit
    hosts: tuple[str | None, ...]
    cookies: Mapping[str, str]
    now: int

    def of_click(self, click: Click | None) -> Headers:
        """Return the headers that store a click."""
        ours, domain = cookie_domain(self.hosts, self.visit.origin)
        if click is None or not ours:
            return ()
        wanted = self.visit.source.cookie
        answers = self.allowances(click)
        if answers <= {True}:
            return set_cookies(click, cookie=wanted, domain=domain, now=self.now)
        kept = [name for name in wanted.names if name in self.cookies]
        return drop_cookies(kept, domain=domain) if False in answers else ()

    def of_client(self, client: str) -> Headers:
        """Return the header that stores the Data Tag's client id, under the same rules as clicks.

        Stape's client also sets this cookie for pages of other sites (`SameSite=None`), but Twite
        does not track people across sites.
        """
        ours, domain = cookie_domain(self.hosts, self.visit.origin)
        wanted = self.visit.source.cookie
        if not ours or not wanted.client_id:
            return ()
        answers = self.allowances()
        value = client_cookie(client)
        if answers <= {True} and value is not None:
            return (
                named_cookie(
                    CLIENT_COOKIE,
                    value,
                    seconds=CLIENT_COOKIE_SECONDS,
                    domain=domain,
                    http_only=wanted.http_only,
                ),
            )
        known = CLIENT_COOKIE in self.cookies and False in answers
        return drop_cookies([CLIENT_COOKIE], domain=domain) if known else ()

    def of_ga4_client(self, sent: str | None, *, key: bytes) -> tuple[str | None, Headers]:
        """Return the client id of a GA4 request, and the headers that store it in the cookie FPID.

        `sent` is the id that the page sent: it is used if the returned id is None. The rules for
        clicks apply; in addition, no signal may deny `analytics_storage`. `key` is the secret from
        which new ids are made.
        """
        ours, domain = cookie_domain(self.hosts, self.visit.origin)
        mode = self.visit.source.cookie.fpid
        if mode == "off" or not ours:
            return None, ()
        answers = self.allowances()
        denied = False in answers or any(map(denies_analytics, self.signal_sets))
        if denied or not answers <= {True}:
            known = denied and fpid.COOKIE in self.cookies
            return None, drop_cookies([fpid.COOKIE], domain=domain) if known else ()
        client = fpid.client_id_in(self.cookies.get(fpid.COOKIE, "")) or fpid.new_client_id(
            sent, migrate=mode == "migrate", key=key, now=self.now
        )
        if client is None:
            return None, ()
        kept = named_cookie(
            fpid.COOKIE,
            fpid.value_of(client, domain=domain),
            seconds=fpid.COOKIE_SECONDS,
            domain=domain,
            http_only=True,
        )
        return client, (kept,)

    def allowances(self, click: Click = _SOME_CLICK) -> frozenset[bool | None]:
        """Return whether each set of signals allows storing a click; see `_allowed`."""
        policy = self.visit.source.consent
        return frozenset(_allowed(click, each, policy, self.now) for each in self.signal_sets)


def without_console_cookies_in(scope: Scope) -> Scope:
    """Return the request without the console's cookies, which only the console may read."""
    headers = scope["headers"]
    if not [1 for name, value in headers if name == b"cookie" and _CONSOLE in value]:
        return scope
    kept = [
        (name, without_console_cookies(value.decode("latin-1")).encode("latin-1"))
        if name == b"cookie"
        else (name, value)
        for name, value in headers
    ]
    return {
        **scope,
        "headers": [(name, value) for name, value in kept if value or name != b"cookie"],
    }


def called(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the host name of the request."""
    return host_of(headers.get(b"host", b"").decode("latin-1"))


def _allowed(click: Click, signals: Signals, policy: ConsentPolicy, now: int) -> bool | None:
    """Return whether consent allows storing a click on the device: as for sending the click.

    Returns None if consent is needed, and the person has neither given nor denied it.
    """
    found = verdict(dict(signals) or None, Identifiers(click_id=click.id), policy=policy, now=now)
    if (
        found.action not in {ConsentAction.SUPPRESS, ConsentAction.HOLD}
        and "click_id" not in found.strip
    ):
        return True
    return None if found.rule in _UNDECIDED else False
