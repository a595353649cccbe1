"""sGTM tag format (`POST /v1/sgtm`): requests of Twite's own tag in a server container.

    {"version": "1.0.0", "event": {…event data, identifiers hashed…}, "pixel": "o8z6j"}

`pixel` is present only if the tag has one. The tag is `sgtm/twite-tag.tpl`; see its function
`send`.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.secret import Masked
from twite.formats.event_data.conversions import Tagged
from twite.formats.event_data.values import first_text
from twite.formats.strict_json import decode, with_replacements, wrong_shape

# Fields that stay the same when a browser retries a hit and the container runs again.
REPEATED: Final = ("client_id", "ga_session_id", "x-ga-page_id", "x-ga-request_count")
_LONGEST_PIXEL: Final = 64
_DECODER: Final = msgspec.json.Decoder(dict[str, object])


class SgtmTagRequest(Masked, frozen=True, kw_only=True):
    """The event that the tag sent, and its pixel. It holds personal data: its repr is masked."""

    tagged: Tagged
    pixel: str | None = None


def read(body: bytes) -> SgtmTagRequest:
    """Read one request. Raises MalformedRequest if it is not JSON, or not of this shape."""
    request = decode(_DECODER, with_replacements(body))
    event = request.get("event")
    if not isinstance(event, Mapping):
        raise wrong_shape("event", "event must be an object of event data")
    pixel = request.get("pixel")
    if not isinstance(pixel, str | None) or (pixel is not None and len(pixel) > _LONGEST_PIXEL):
        raise wrong_shape("pixel", "pixel must be a pixel id (text)")
    return SgtmTagRequest(
        tagged=Tagged(events=(event,), repeated=(_repeated(event),)), pixel=pixel or None
    )


def _repeated(event: Mapping[str, object]) -> str | None:
    texts = [first_text(event, (name,)) for name in REPEATED]
    if texts[0] is None or None in texts[2:]:
        return None
    name = first_text(event, ("event_name",)) or ""
    return "\0".join(("SGTM", name, *(text or "" for text in texts)))
