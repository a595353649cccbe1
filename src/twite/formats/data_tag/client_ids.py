"""The client id of Stape's Data Tag, and the cookie `_dcid` that keeps it. [seen DC]

What the event says goes first (client_id, data_client_id, _dcid), then the cookie, then what the
tag made for this page alone (_dcid_temp), then one that is made here. The events of a list share
one.
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
# What encodeURIComponent leaves as it is, beside letters, digits and `_.-~`.
_PLAIN: Final = "!'()*"


def said_in(given: Sequence[Event], cookies: Mapping[str, str]) -> str:
    """Return the client id of a request, "" where nobody has given one."""
    said = [first_text(one, _SAID) for one in given]
    temporary = [first_text(one, (_OF_THE_PAGE,)) for one in given]
    named = (*said, unquote(cookies.get(COOKIE, ""), errors="replace"), *temporary)
    return next((one for one in named if one), "")


def made(*, now: int, digits: int) -> str:
    """Return a new one; `now` is in milliseconds, `digits` a number of nine digits by chance."""
    return f"dcid.1.{now}.{digits:09d}"


def written(client: str) -> str | None:
    """Return the cookie's value, None for what is too long for one."""
    value = quote(client, safe=_PLAIN)
    return value if 0 < len(value) <= _LONGEST else None
