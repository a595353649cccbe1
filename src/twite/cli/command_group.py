"""A group of commands that a feature adds: see `twite.features`."""

from collections.abc import Mapping

import msgspec


class CommandGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group of commands that a feature adds to `twite --help`, before the group `before`.

    `summaries` has a help text for each command, `places` the module and name of its function.
    """

    title: str
    before: str
    summaries: Mapping[str, str]
    places: Mapping[str, str]
