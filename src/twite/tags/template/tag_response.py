"""The cookies, headers and pixels that tags add to a response.

Tags have fewer rights than clients: their cookies stay on the gateway's own site, and they cannot
set headers of the gateway or of the client template.
"""

from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from twite.domain.times import DAY, SECOND
from twite.tags.template.effects import AnyEffect, BrowserPixel, Header, SetCookie
from twite.tags.template.permissions import PermissionPolicy
from twite.tags.template.response import AUTO, ClientResponse, InvalidResponse, added, cookie_place

LONGEST_LIFE: Final = 400 * DAY // SECOND  # browsers store no cookie longer than this (RFC 6265bis)
MOST_COOKIES: Final = 20  # per response
_LARGEST: Final = 4_096  # bytes of name and value: all browsers store at least this much
MOST_PIXELS: Final = 20
# Prefixes of the gateway's own cookies: the click cookie, the console's session.
_OURS: Final = ("_twite", "twite", "__host-", "__http-", "__host-http-")
_OWN_HEADERS: Final = ("access-control-", "content-", "cross-origin-", "twite-")
_OWN_NAMES: Final = frozenset(
    {"cache-control", "clear-site-data", "location", "refresh", "retry-after", "set-cookie",
     "strict-transport-security", "vary", "www-authenticate"}
)  # fmt: skip


class TagResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The response effects of one tag's first turn. Values may identify a person."""

    tag: str
    cookies: tuple[SetCookie, ...] = ()
    headers: tuple[Header, ...] = ()
    pixels: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the tag adds nothing."""
        return not (self.cookies or self.headers or self.pixels)

    def __repr__(self) -> str:
        return f"TagResponse({self.tag})"


class ResponseSite(msgspec.Struct, frozen=True, kw_only=True):
    """The site on which a response may set cookies.

    `host` is the host name by which the browser reached the gateway, `site` its registrable domain,
    or None. `reserved` has cookie names that tags cannot use. Unless `keeps` is set, tags set no
    cookies.
    """

    host: str = ""
    site: str | None = None
    reserved: frozenset[str] = frozenset()
    keeps: bool = True
    now: int = 0


def tag_responses(additions: Iterable[object]) -> tuple[TagResponse, ...]:
    """Return the additions to a response as tags made them."""
    return tuple(each for each in additions if isinstance(each, TagResponse))


def can_respond(policy: PermissionPolicy) -> bool:
    """Return whether a template may add anything to a response."""
    return bool(policy.set_cookies or policy.response_headers or policy.pixels)


def response_of(tag: str, effects: Iterable[AnyEffect]) -> TagResponse:
    """Return the effects that concern the response."""
    cookies: list[SetCookie] = []
    headers: list[Header] = []
    pixels: list[str] = []
    for effect in effects:
        match effect:
            case SetCookie():
                cookies.append(effect)
            case Header():
                headers.append(effect)
            case BrowserPixel(url=url):
                pixels.append(url)
    return TagResponse(
        tag=tag, cookies=tuple(cookies), headers=tuple(headers), pixels=tuple(pixels[:MOST_PIXELS])
    )


def joined(
    responses: Iterable[TagResponse],
    *,
    site: ResponseSite,
    log_message: Callable[[str, str], None],
) -> ClientResponse:
    """Return the headers and cookies of all tags; of duplicates, the last is used.

    `log_message` gets the name of a tag, and why part of its response was left out.
    """
    whole = ClientResponse()
    for response in responses:
        cookies = response.cookies if site.keeps else ()
        effects: tuple[SetCookie | Header, ...] = (*response.headers, *cookies)
        for effect in effects:
            try:
                whole = _with(whole, effect, site)
            except InvalidResponse as refused:
                log_message(response.tag, str(refused))
    return whole


def beneath(response: ClientResponse, tags: ClientResponse) -> ClientResponse:
    """Return a client's response with the tags' additions.

    Values set by the client have priority.
    """
    named = {name for name, _ in response.headers}
    places = {cookie_place(cookie) for cookie in response.cookies}
    return msgspec.structs.replace(
        response,
        headers=(*response.headers, *(pair for pair in tags.headers if pair[0] not in named)),
        cookies=(
            *response.cookies,
            *(cookie for cookie in tags.cookies if cookie_place(cookie) not in places),
        ),
    )


def _with(
    response: ClientResponse, effect: SetCookie | Header, site: ResponseSite
) -> ClientResponse:
    if isinstance(effect, SetCookie):
        if effect.name in site.reserved:
            return response  # the gateway stores it itself
        effect = _first_party(effect, site)
    elif effect.name in _OWN_NAMES or effect.name.startswith(_OWN_HEADERS):
        raise InvalidResponse(f"a tag cannot set the header {effect.name}")
    found = added(response, effect, site=site.site)
    if len(found.cookies) > MOST_COOKIES:
        raise InvalidResponse(f"more than {MOST_COOKIES} cookies in one response")
    return found


def _first_party(cookie: SetCookie, site: ResponseSite) -> SetCookie:
    """Return the cookie as it may be set on the site. Raises InvalidResponse."""
    name = cookie.name
    if name.lower().startswith(_OURS):
        raise InvalidResponse(f"a tag cannot set the cookie {name}")
    if len(name) + len(cookie.value) > _LARGEST:
        raise InvalidResponse(f"the cookie {name} is larger than {_LARGEST} bytes")
    seconds = _seconds(cookie, site.now)
    strict = (cookie.same_site or "").lower() == "strict"
    return msgspec.structs.replace(
        cookie,
        domain=_domain(cookie, site),
        fallback_domain=None,
        expires=None,
        max_age=None if seconds is None else max(0, min(seconds, LONGEST_LIFE)),
        secure=True,
        same_site="strict" if strict else "lax",
    )


def _domain(cookie: SetCookie, site: ResponseSite) -> str | None:
    """Return the domain attribute of the cookie; None for a host-only cookie."""
    if cookie.domain is None:
        return None
    if cookie.domain == AUTO:
        return site.site
    domain = cookie.domain.lower().removeprefix(".")
    is_above = site.host == domain or site.host.endswith(f".{domain}")
    is_ours = site.site is not None and (domain == site.site or domain.endswith(f".{site.site}"))
    if is_above and is_ours:
        return domain
    if domain == site.host:
        return None  # a name without a registrable domain, such as localhost
    raise InvalidResponse(f"the cookie {cookie.name} is for a domain outside the gateway's site")


def _seconds(cookie: SetCookie, now: int) -> int | None:
    """Return the lifetime of the cookie; None for a session cookie. An invalid date is ignored."""
    if cookie.max_age is not None or cookie.expires is None:
        return cookie.max_age
    try:
        moment = parsedate_to_datetime(cookie.expires)
    except (ValueError, TypeError, OverflowError):
        return None
    return None if moment.tzinfo is None else int(moment.timestamp()) - now // SECOND
