"""The page of a conversion, without what an address may give away of a person."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from twite.redaction.scrub_text import names_a_person, scrubbed_path

# Campaign parameters say where a visit came from. All others may hold names, tokens, addresses.
KEPT_PARAMETERS: Final = frozenset(
    {"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"}
)

# An address with nothing to take out but what follows its path, and perhaps in it.
_SIMPLE: Final = re.compile(r"(https?://[a-z0-9.-]+(?::[0-9]{1,4})?(?:/[^\s?#@%\\]*)?)(?:[?#].*)?")
# What no name of a host holds.
_NO_HOST: Final = re.compile(r"[\s\x00-\x1f]")
# What is longer is read each time: who writes long addresses must not fill the memory with them.
_LONGEST_REMEMBERED: Final = 2_048


def scrubbed_url(text: str) -> str | None:
    """Return the address without user name, persons, fragment and all but campaign parameters.

    None where it is not an http(s) address. The click id is read from it before, and travels as an
    identifier.
    """
    simple = _SIMPLE.fullmatch(text)
    if simple is not None and "utm_" not in text:
        # Many orders have one page to thank for them.
        text = simple.group(1)
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _scrubbed(text)


@lru_cache(maxsize=4_096)
def _remembered(text: str) -> str | None:
    return _scrubbed(text)


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
        kept = [one for one in given if one[0] in KEPT_PARAMETERS and not names_a_person(one[1])]
        query = urlencode(kept)
    shown = f"[{host}]" if ":" in host else host
    path = scrubbed_path(parts.path).rstrip()
    return urlunsplit((parts.scheme, f"{shown}:{port}" if port else shown, path, query, ""))
