"""The page of a conversion, without what an address may give away of a person."""

from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Campaign parameters say where a visit came from. All others may hold names, tokens, addresses.
KEPT_PARAMETERS: Final = frozenset(
    {"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"}
)


@lru_cache(maxsize=4_096)
def scrubbed_url(text: str) -> str | None:
    """Return the address without user name, fragment and all but campaign parameters.

    None where it is not an http(s) address. The click id is read from it before, and travels as an
    identifier.
    """
    try:
        parts = urlsplit(text.strip())
        host = parts.hostname
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host:
        return None
    query = ""
    if parts.query:
        try:
            given = parse_qsl(parts.query, max_num_fields=1_000)
        except ValueError:
            given = []
        query = urlencode([pair for pair in given if pair[0] in KEPT_PARAMETERS])
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{shown}:{port}" if port else shown, parts.path, query, ""))
