"""The curl command that sends a conversion's entry again, without personal data or secrets."""

from typing import Final

import msgspec

from twite.domain.normalize import visible
from twite.domain.submission import Endpoint
from twite.gateway.operations.explain import own_entry
from twite.gateway.ports.queries import ConversionOrigin
from twite.redaction.mask_tree import masked_tree

# Formats whose entries are in X's format.
_IN_X_FORMAT: Final = frozenset({Endpoint.X_API, Endpoint.STAPE})


class CurlCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command for a shell, and the fields that it leaves out because they are masked."""

    text: str
    left_out: tuple[str, ...] = ()


def curl_of(origin: ConversionOrigin, *, url: str) -> CurlCommand | None:
    """Return the command for the gateway at a URL; None if the request is no longer stored.

    Fields that a page may show only masked are left out: the command then sends less.
    """
    entry = own_entry(origin)
    if not entry:
        return None
    kept = {name: value for name, value in entry.items() if masked_tree(value, name) == value}
    left_out = tuple(name for name in entry if name not in kept)
    path, header, body = "/v1/conversions", '"Authorization: Bearer $TWITE_KEY"', kept
    if origin.endpoint in _IN_X_FORMAT:
        path = f"/12/measurement/conversions/{origin.history.pixel}"
        header, body = '"X-Pixel-Token: $TWITE_KEY"', {"conversions": [kept]}
    lines = (
        f"curl -X POST {_quoted(url + path)}",
        f"  -H {header}",
        "  -H 'Content-Type: application/json'",
        f"  -d {_quoted(visible(msgspec.json.format(msgspec.json.encode(body)).decode()))}",
    )
    return CurlCommand(text=" \\\n".join(lines), left_out=left_out)


def _quoted(text: str) -> str:
    """Quote a text for a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"
