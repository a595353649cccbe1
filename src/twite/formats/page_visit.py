"""A page visit: the visitor, the page's URL, click ids (twclid), their cookies, and robots."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from twite.domain import normalize
from twite.domain.fault import Fault
from twite.domain.secret import Masked
from twite.redaction.scrub_text import names_a_person, scrubbed_path

# Words in the names of robots and download tools. Longer lists exist, but need a licence. These
# words cover most robots, and occur in no real browser. (There is a phone named Cubot.)
_ROBOT: Final = re.compile(
    r"(?<!cu)bot(?:\b|[/_ -])|crawl|spider|slurp|headless|phantomjs|lighthouse|pagespeed|gtmetrix|"
    r"pingdom|facebookexternalhit|mediapartners|scrapy|puppeteer|selenium|playwright|"
    r"\b(?:curl|wget|python|go-http-client|axios|node-fetch|libwww|httpclient)\b",
    re.IGNORECASE,
)
_LONGEST_AGENT: Final = 512  # browsers send 100 to 250 characters; limits the size of the cache
# Campaign parameters say where a visit came from. Others may contain names, tokens or addresses.
KEPT_PARAMETERS: Final = frozenset(
    {"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"}
)
# A URL in which only parts of the path, and what follows the path, may have to be removed.
_SIMPLE: Final = re.compile(r"(https?://[a-z0-9.-]+(?::[0-9]{1,4})?(?:/[^\s?#@%\\]*)?)(?:[?#].*)?")
# Characters that a host name cannot contain.
_NO_HOST: Final = re.compile(r"[\s\x00-\x1f]")
# Longer URLs are not cached, so that a client with long URLs cannot fill the memory.
_LONGEST_REMEMBERED: Final = 2_048
OURS: Final = "_twite"  # `1.<milliseconds>.<click id>`
OF_X: Final = "_twclid"  # X's pixel: JSON, percent-encoded, or raw [seen 3P, doc GTM]
OF_STAPE: Final = "twclid"  # raw [seen ST]
NAMES: Final = (OURS, OF_X, OF_STAPE)
BROWSER_ID: Final = "_twpid"
_FORM: Final = "1"
_MOST_COOKIES: Final = 200
# X's own script writes these next to the click id. [seen 3P]
_PIXEL_VERSION: Final = "2.3.29"
_BY_URL: Final = 1


class Visitor(Masked, frozen=True, kw_only=True):
    """Facts about the request itself, as opposed to the data in its events.

    A browser's request has its own address, user agent, page (`referer`) and cookies. Addresses and
    user agents in its events are not trusted. A request from a server, which has a key, has no
    visitor: then `trusted` is true, and the data in the events is used. Events with a value above
    `value_limit` are ignored, unless it is None. `opted_out` is `Sec-GPC: 1`; `now` is in
    milliseconds. `consent` contains further consent signals for its events; if a signal has two
    values, the stricter one counts. Its repr is masked.
    """

    in_repr = ("trusted",)
    trusted: bool = False
    ip: str | None = None
    user_agent: str | None = None
    referer: str | None = None
    cookies: Mapping[str, str] = msgspec.field(default_factory=dict)
    opted_out: bool = False
    value_limit: Decimal | None = None
    now: int = 0
    consent: Mapping[str, str | bool] = msgspec.field(default_factory=dict)


SERVER: Final = Visitor(trusted=True)


def is_robot(user_agent: str) -> bool:
    return _is_robot(user_agent[:_LONGEST_AGENT])


@lru_cache(maxsize=8_192)
def _is_robot(user_agent: str) -> bool:
    return _ROBOT.search(user_agent) is not None


def scrubbed_url(text: str) -> str | None:
    """Return the URL without user name, personal data and fragment.

    Only campaign parameters are kept. None if it is not an http(s) URL. The click id has already
    been read as an identifier.
    """
    if ("?" in text or "#" in text) and "utm_" not in text:
        # Reduced before the cache is used, because many orders come from the same page.
        simple = _SIMPLE.fullmatch(text)
        text = text if simple is None else simple[1]
    return _scrubbed_once(text) if len(text) <= _LONGEST_REMEMBERED else _scrubbed(text)


def _scrubbed(text: str) -> str | None:
    try:
        parts = urlsplit(text.strip())
        host = parts.hostname
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host or _NO_HOST.search(host):
        return None
    query = ""
    if parts.query:
        try:
            given = parse_qsl(parts.query, max_num_fields=1_000)
        except ValueError:
            given = []
        kept = [
            parameter
            for parameter in given
            if parameter[0] in KEPT_PARAMETERS and not _names_a_person(parameter[1])
        ]
        query = urlencode(kept)
    shown = f"[{host}]" if ":" in host else host
    path = scrubbed_path(parts.path).rstrip()
    return urlunsplit((parts.scheme, f"{shown}:{port}" if port else shown, path, query, ""))


_scrubbed_once: Final = lru_cache(maxsize=4_096)(_scrubbed)


def _names_a_person(value: str) -> bool:
    # The plus of a phone number is decoded to a space if it was not escaped.
    return names_a_person(value) or names_a_person(value.replace(" ", "+", 1))


class Click(Masked, frozen=True, kw_only=True):
    """A click id and when it was first seen, in milliseconds; 0 if unknown."""

    in_repr = ("at",)
    id: str
    at: int = 0


def cookies_of(header: str) -> dict[str, str]:
    """Return a request's cookies by name; the first of duplicates counts, as browsers intend."""
    found: dict[str, str] = {}
    for pair in header.split(";", _MOST_COOKIES)[:_MOST_COOKIES]:
        name, equals, value = pair.strip().partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip().strip('"'))
    return found


def clicks_of(cookies: Mapping[str, str], *, now: int) -> list[Click]:
    """Return the clicks in the cookies. A time in the future counts as unknown."""
    found = []
    for read, name in ((_ours, OURS), (_of_x, OF_X), (read_click, OF_STAPE)):
        click = read(cookies.get(name, ""))
        if click is not None:
            found.append(click if click.at <= now else Click(id=click.id))
    return found


def newest(clicks: Iterable[Click]) -> Click | None:
    return max(clicks, key=lambda click: click.at, default=None)


def newest_of(seen: Sequence[Click], kept: Sequence[Click]) -> Click | None:
    """Return the newest click of this request and of its cookies.

    A click that is already in a cookie keeps its original time: reloading a page does not renew it.
    """
    first: dict[str, int] = {}
    for click in sorted(kept, key=lambda click: -click.at):
        if click.at:
            first[click.id] = click.at
    dated = [Click(id=click.id, at=first.get(click.id, click.at)) for click in (*seen, *kept)]
    return newest(dated)


def cookie_value(name: str, click: Click) -> str:
    """Return the value that stores a click in the cookie of this name (one of NAMES)."""
    if name == OURS:
        return f"{_FORM}.{click.at}.{click.id}"
    if name == OF_STAPE:
        return click.id
    fields = {
        "pixelVersion": _PIXEL_VERSION,
        "timestamp": click.at,
        "twclid": click.id,
        "source": _BY_URL,
    }
    return quote(msgspec.json.encode(fields), safe="")


def in_full(click: Click) -> str:
    return cookie_value(OURS, click) if click.at else click.id


def read_click(text: str, at: int = 0) -> Click | None:
    """Return the click for a click id in any spelling; None if the text is not a click id."""
    if not text:
        return None
    found = normalize.click_id(text, path="twclid")
    return None if isinstance(found, Fault) else Click(id=found, at=at)


def _ours(value: str) -> Click | None:
    form, _, rest = value.partition(".")
    at, _, click_id = rest.partition(".")
    is_moment = at.isascii() and at.isdigit() and len(at) <= 15
    if form != _FORM or not is_moment:
        return None
    return read_click(click_id, int(at))


class _XClickCookie(msgspec.Struct, frozen=True):
    timestamp: int | float = 0


def _of_x(value: str) -> Click | None:
    text = unquote(value)
    at = 0
    if text.startswith("{"):
        try:
            at = int(msgspec.json.decode(text, type=_XClickCookie).timestamp)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
            return None
    return read_click(text, max(0, at))
