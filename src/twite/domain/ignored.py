"""Counts of ignored items (no conversions of their source), by day and name."""

from collections.abc import Iterator
from typing import Final

import msgspec

from twite.domain.submission import Submission

# A page that makes names up must not fill the store: beyond these, a source's day has one name.
MOST_NAMES: Final = 100
OTHER: Final = "other"


# How a reason begins that tells what kept a tag from firing: its name is then the tag's.
NOT_FIRED: Final = "tag_"


class IgnoredTally(msgspec.Struct, frozen=True, kw_only=True):
    """How often a name was ignored on one day (days since 1970, UTC), and why."""

    day: int
    source: str
    endpoint: str
    name: str
    reason: str
    times: int


def named(submission: Submission) -> Iterator[tuple[str, str]]:
    """Yield (name, reason) of what is to be counted: what was ignored, and by which tags."""
    for ignored in submission.ignored:
        yield ignored.name, ignored.reason
    for tag in submission.unfired:
        yield tag.tag, f"{NOT_FIRED}{tag.bar}"
