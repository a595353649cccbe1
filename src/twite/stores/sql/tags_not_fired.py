"""Tags that did not fire for a submission: stored in its row, shown in each history."""

from typing import Final

import msgspec

from twite.domain.history import TagNotFired
from twite.domain.submission import Submission

# Tag, why, and the places of the conversions that will be kept, counted from the first.
_Kept = list[tuple[str, str, list[int]]]


def kept(submission: Submission) -> bytes | None:
    """Encode the tags that did not fire; None if there are none."""
    if not submission.unfired:
        return None
    places = {entry.index: place for place, entry in enumerate(submission.entries)}
    found: dict[tuple[str, str], list[int]] = {}
    for unfired in submission.unfired:
        place = None if unfired.index is None else places.get(unfired.index)
        if place is not None:
            found.setdefault((unfired.tag, unfired.why), []).append(place)
    if not found:
        return None
    return _ENCODER.encode([(tag, why, at) for (tag, why), at in found.items()])


def told(kept: bytes | None, place: int) -> tuple[TagNotFired, ...]:
    """Return the tags that did not fire for a conversion."""
    if kept is None:
        return ()
    return tuple(
        TagNotFired(tag=tag, why=why)
        for tag, why, places in _DECODER.decode(kept)
        if place in places
    )


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Kept)
