"""The client id of Stape's Data Tag, and the cookie `_dcid` that keeps it. [seen DC]

The event's own id wins (client_id, data_client_id, _dcid), then the cookie, then the tag's
temporary id of this page (_dcid_temp), then a new one. The events of a list share one id.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote

from twite.formats.event_data.values import first_text
from twite.formats.parsed_request import Event

COOKIE: Final = "_dcid"
SECONDS: Final = 63_072_000  # two years

_SAID: Final = ("client_id", "data_client_id", "_dcid")
_OF_THE_PAGE: Final = "_dcid_temp"
_LONGEST: Final = 256
# encodeURIComponent leaves these as they are, besides letters, digits and `_.-~`.
_PLAIN: Final = "!'()*"


def said_in(given: Sequence[Event], cookies: Mapping[str, str]) -> str:
    """Return the client id of a request, "" if there is none."""
    ids = [first_text(event, _SAID) for event in given]
    temporary = [first_text(event, (_OF_THE_PAGE,)) for event in given]
    named = (*ids, unquote(cookies.get(COOKIE, ""), errors="replace"), *temporary)
    return next((client_id for client_id in named if client_id), "")


def made(*, now: int, digits: int) -> str:
    """Return a new one; `now` is in milliseconds, `digits` a random number of nine digits."""
    return f"dcid.1.{now}.{digits:09d}"


def written(client: str) -> str | None:
    """Return the cookie's value, None if it would be too long."""
    value = quote(client, safe=_PLAIN)
    return value if 0 < len(value) <= _LONGEST else None
