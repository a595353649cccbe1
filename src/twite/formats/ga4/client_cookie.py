"""The cookie FPID: a client id that Google's server container manages, HttpOnly, for two years.

    FPID2.<labels of the domain>.<client id, percent-encoded>

A client id that the server creates is 32 bytes in base64, a dot, and the time in the page's own id.
[seen in public request logs; how Google derives the bytes is unknown]
"""

import base64
import re
from hmac import digest
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from twite.domain.times import DAY, SECOND
from twite.formats.event_data.conversions import Tagged
from twite.formats.event_data.values import first_text

COOKIE: Final = "FPID"
COOKIE_SECONDS: Final = 63_072_000  # two years, the default of Google's client
_VALUE: Final = re.compile(r"FPID[0-9]\.[0-9]\.([A-Za-z0-9%+/=._-]{1,200})", re.ASCII)
_ID: Final = re.compile(r"[A-Za-z0-9+/=._-]{1,100}", re.ASCII)
_TIME: Final = re.compile(r"\.([0-9]{10})$", re.ASCII)


def client_id_in(cookie: str) -> str | None:
    found = _VALUE.fullmatch(cookie)
    client = "" if found is None else unquote(found[1])
    return client if _ID.fullmatch(client) else None


def value_of(client: str, *, domain: str | None) -> str:
    """Return the cookie's value for a registrable domain."""
    labels = 1 if domain is None else min(domain.count(".") + 1, 9)
    return f"FPID2.{labels}.{quote(client, safe='')}"


def new_client_id(sent: str | None, *, migrate: bool, key: bytes, now: int) -> str | None:
    """Return the client id for a browser without the cookie; None if the page sent no id.

    With `migrate`, it is the page's own id. Otherwise it is a keyed hash of that id, so that all
    hits that a page sends before it gets the cookie have one client id.
    """
    if not sent:
        return None
    if migrate and _ID.fullmatch(sent):
        return sent
    hashed = digest(key, f"{COOKIE}\0{sent}".encode("utf-8", "replace"), "sha256")
    time = _TIME.search(sent)
    made_at = time[1] if time is not None else str(now // DAY * DAY // SECOND)
    return f"{base64.b64encode(hashed).decode()}.{made_at}"


def sent_client_id(tagged: Tagged) -> str | None:
    """Return the client id of a request's first event."""
    return first_text(tagged.events[0], ("client_id",)) if tagged.events else None


def with_client_id(tagged: Tagged, client: str) -> Tagged:
    """Return the events with this client id; the page's own becomes `x-ga-js_client_id`."""
    events = []
    for event in tagged.events:
        sent = event.get("client_id")
        moved = {} if sent is None else {"client_id": client, "x-ga-js_client_id": sent}
        events.append({**event, **moved})
    return msgspec.structs.replace(tagged, events=tuple(events))
