"""Tags that run once per event, although several deliveries of the event contain them.

A setup or cleanup tag of several tags is part of each of their deliveries, and may have a delivery
of its own if it has a trigger. The first of these deliveries runs the tag; the others wait until it
ends. If it succeeded, they do not run it again. After a restart, it is not known which tags have
run.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

MOST: Final = 10_000


class TagOfEvent(NamedTuple):
    """A tag of a container, and an event: the time of its receipt, and its random number."""

    container: int
    at: int
    draw: int
    tag: str


@dataclass(slots=True, eq=False, repr=False)
class OncePerEvent:
    """Remembers the latest `most` tags that succeeded."""

    most: int = MOST
    _running: dict[TagOfEvent, asyncio.Event] = field(init=False, default_factory=dict)
    _succeeded: OrderedDict[TagOfEvent, None] = field(init=False, default_factory=OrderedDict)

    async def begin(self, tag: TagOfEvent) -> bool:
        """Return True if the caller is to run the tag and call `end`, False if it has succeeded.

        Waits while another delivery runs the tag.
        """
        while (running := self._running.get(tag)) is not None:
            await running.wait()
        if tag in self._succeeded:
            return False
        self._running[tag] = asyncio.Event()
        return True

    def end(self, tag: TagOfEvent, *, succeeded: bool) -> None:
        """Let the other deliveries continue. If the tag did not succeed, the next one runs it."""
        self._running.pop(tag).set()
        if succeeded:
            self._succeeded[tag] = None
            while len(self._succeeded) > self.most:
                self._succeeded.popitem(last=False)
