"""Scrub a page URL: remove personal data, keep campaign parameters."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from twite.redaction.scrub_text import names_a_person, scrubbed_path

# Campaign parameters name the origin of a visit. Others may hold names, tokens, addresses.
KEPT_PARAMETERS: Final = frozenset(
    {"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"}
)

# A URL with nothing to remove but what follows its path, and perhaps in it.
_SIMPLE: Final = re.compile(r"(https?://[a-z0-9.-]+(?::[0-9]{1,4})?(?:/[^\s?#@%\\]*)?)(?:[?#].*)?")
# Characters that no host name holds.
_NO_HOST: Final = re.compile(r"[\s\x00-\x1f]")
# Longer URLs are not cached: a client that writes long URLs must not fill the memory.
_LONGEST_REMEMBERED: Final = 2_048


def scrubbed_url(text: str) -> str | None:
    """Return the URL without user name, personal data, fragment and other than campaign parameters.

    None if it is not an http(s) URL. The click id is read from it before, and kept as an
    identifier.
    """
    simple = _SIMPLE.fullmatch(text)
    if simple is not None and "utm_" not in text:
        # Many orders come from the same page.
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
        kept = [
            parameter
            for parameter in given
            if parameter[0] in KEPT_PARAMETERS and not names_a_person(parameter[1])
        ]
        query = urlencode(kept)
    shown = f"[{host}]" if ":" in host else host
    path = scrubbed_path(parts.path).rstrip()
    return urlunsplit((parts.scheme, f"{shown}:{port}" if port else shown, path, query, ""))
