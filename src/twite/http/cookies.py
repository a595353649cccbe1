"""Click cookies, set by the server's response: browsers shorten the life of script-set cookies."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from publicsuffixlist import PublicSuffixList

from twite.domain.click_cookie import ClickCookie
from twite.domain.times import DAY, SECOND
from twite.formats.page_visit import OF_X, Click, written

_MOST_HOST: Final = 253


def set_cookies(
    click: Click, *, wanted: ClickCookie, domain: str | None, now: int
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that keep a click until it expires; none if it already has.

    `domain` is the registrable domain, or None for a host-only cookie. A click of unknown age
    counts from now, so that a later click is newer.
    """
    at = click.at or now
    left = (at + wanted.days * DAY - now) // SECOND
    if left <= 0:
        return ()
    dated = Click(id=click.id, at=at)
    return tuple(
        named_cookie(
            name,
            written(name, dated),
            seconds=left,
            domain=domain,
            http_only=wanted.http_only and name != OF_X,
        )
        for name in wanted.names
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

    `hosts` are the names under which the client may have called the gateway, the likeliest first.
    The first that is of the page's site counts. An address and a name without a registrable domain
    (a public suffix, `localhost`) get a host-only cookie: (True, None).
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


def host_of(address: str) -> str | None:
    """Return the host of an origin, a URL or a `Host` header, in lower case."""
    try:
        host = urlsplit(address if "//" in address else f"//{address}").hostname
    except ValueError:
        return None
    return host if host and len(host) <= _MOST_HOST and host.isascii() else None


@lru_cache(maxsize=1_024)
def registrable_domain(host: str) -> str | None:
    """Return the registrable domain of a host by the Public Suffix List, or None."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        found: str | None = _suffixes().privatesuffix(host)
        return found
    return None


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
