"""Which tags did not fire for a submission's conversions: kept in its row, told in each life."""

from typing import Final

import msgspec

from twite.domain.history import TagNotFired
from twite.domain.submission import Submission

# Tag, why, and the places of the conversions that will be kept, counted from the first.
_Kept = list[tuple[str, str, list[int]]]


def kept(submission: Submission) -> bytes | None:
    """Return what is kept of it; None where there is nothing to be told of a conversion."""
    if not submission.unfired:
        return None
    places = {entry.index: place for place, entry in enumerate(submission.entries)}
    found: dict[tuple[str, str], list[int]] = {}
    for one in submission.unfired:
        place = None if one.index is None else places.get(one.index)
        if place is not None:
            found.setdefault((one.tag, one.why), []).append(place)
    if not found:
        return None
    return _ENCODER.encode([(tag, why, at) for (tag, why), at in found.items()])


def told(kept: bytes | None, place: int) -> tuple[TagNotFired, ...]:
    """Return what a conversion's life tells of it."""
    if kept is None:
        return ()
    return tuple(
        TagNotFired(tag=tag, why=why)
        for tag, why, places in _DECODER.decode(kept)
        if place in places
    )


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Kept)
