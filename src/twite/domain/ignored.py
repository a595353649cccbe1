"""How often what came in was no conversion of its source: counted by day, under few names."""

from typing import Final

import msgspec

# A page that makes names up must not fill the store: beyond these, a source's day has one name.
MOST_NAMES: Final = 100
OTHER: Final = "other"


class IgnoredTally(msgspec.Struct, frozen=True, kw_only=True):
    """Of one day (whole days since 1970, UTC), source, door, name and reason: how often."""

    day: int
    source: str
    door: str
    name: str
    reason: str
    times: int
