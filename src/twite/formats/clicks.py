"""Click ids (twclid) and the cookies that keep them: find the newest one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from twite.domain import normalize
from twite.domain.fault import Fault

OURS: Final = "_twite"  # `1.<milliseconds>.<click id>`
OF_X: Final = "_twclid"  # X's pixel: JSON, percent-encoded, or raw [seen 3P, doc GTM]
OF_STAPE: Final = "twclid"  # raw [seen ST]
NAMES: Final = (OURS, OF_X, OF_STAPE)
BROWSER_ID: Final = "_twpid"

_FORM: Final = "1"
_MOST_COOKIES: Final = 200
# X's own script writes these beside the click id. [seen 3P]
_PIXEL_VERSION: Final = "2.3.29"
_BY_URL: Final = 1


class Click(msgspec.Struct, frozen=True, kw_only=True):
    """A click id and when it was first seen, in milliseconds; 0 if unknown."""

    id: str
    at: int = 0

    def __repr__(self) -> str:
        return f"Click(***, at={self.at})"


def cookies_of(header: str) -> dict[str, str]:
    """Return the cookies of a request by name; of duplicates the first, as browsers mean it."""
    found: dict[str, str] = {}
    for pair in header.split(";", _MOST_COOKIES)[:_MOST_COOKIES]:
        name, equals, value = pair.strip().partition("=")
        if equals:
            found.setdefault(name.strip(), value.strip().strip('"'))
    return found


def clicks_of(cookies: Mapping[str, str], *, now: int) -> list[Click]:
    """Return the clicks in the cookies. A time in the future counts as unknown."""
    found = []
    for read, name in ((_ours, OURS), (_of_x, OF_X), (_raw, OF_STAPE)):
        click = read(cookies.get(name, ""))
        if click is not None:
            found.append(click if click.at <= now else Click(id=click.id))
    return found


def newest(clicks: Iterable[Click]) -> Click | None:
    """Return the newest click; of equally new ones, the first."""
    return max(clicks, key=lambda click: click.at, default=None)


def newest_of(seen: Sequence[Click], kept: Sequence[Click]) -> Click | None:
    """Return the newest click of this request and its cookies.

    A click that is already in a cookie keeps its first time: reloading a page does not renew it.
    """
    first: dict[str, int] = {}
    for click in sorted(kept, key=lambda click: -click.at):
        if click.at:
            first[click.id] = click.at
    dated = [Click(id=click.id, at=first.get(click.id, click.at)) for click in (*seen, *kept)]
    return newest(dated)


def written(name: str, click: Click) -> str:
    """Return the cookie value of this name (one of NAMES) that keeps a click."""
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
    """Return a click id with the time it was first seen, if known, for the next reader."""
    return written(OURS, click) if click.at else click.id


def read_click(text: str, at: int = 0) -> Click | None:
    """Return the click of a click id in any spelling; None if it is not one."""
    if not text:
        return None
    found = normalize.click_id(text, path="twclid")
    return None if isinstance(found, Fault) else Click(id=found, at=at)


def _ours(value: str) -> Click | None:
    form, _, rest = value.partition(".")
    at, _, click_id = rest.partition(".")
    if form != _FORM or not _is_moment(at):
        return None
    return read_click(click_id, int(at))


class _Kept(msgspec.Struct, frozen=True):
    timestamp: int | float = 0


def _of_x(value: str) -> Click | None:
    text = unquote(value)
    at = 0
    if text.startswith("{"):
        try:
            at = int(msgspec.json.decode(text, type=_Kept).timestamp)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
            return None
    return read_click(text, max(0, at))


def _raw(value: str) -> Click | None:
    return read_click(value)


def _is_moment(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15
