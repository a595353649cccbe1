"""`POST /v1/sgtm`: read events of Twite's own tag in an sGTM server container."""

from typing import Final

from twite.domain.destination import Source
from twite.domain.fault import CODES
from twite.formats.event_data.conversions import found_of
from twite.formats.parsed_request import ParsedRequest
from twite.formats.sgtm_tag import read as sgtm
from twite.http.responses import HttpRefusal, error
from twite.http.route import HttpRequest, visitor_of


def read(request: HttpRequest, source: Source) -> ParsedRequest:
    """Read the tag's event. Raises HttpRefusal (422) and MalformedRequest."""
    sent = sgtm.read(request.body)
    if sent.pixel is not None and sent.pixel not in source.pixels:
        raise HttpRefusal(_NO_PIXEL)
    return found_of(
        sent.tagged.events,
        source=source,
        destinations=request.services.destinations,
        # The container authenticates itself, so its claims about its visitor are trusted.
        visitor=visitor_of(request, None),
        repeated=sent.tagged.repeated,
        pixel=sent.pixel,
    )


_NO_PIXEL: Final = error(422, "pixel_unknown", CODES["pixel_unknown"], path="pixel")
