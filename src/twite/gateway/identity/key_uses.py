"""When each key of a source was last used: collected in memory, and stored once a minute."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from twite.domain.errors import LedgerUnavailable
from twite.domain.times import MINUTE
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import SourceKeyUse, StateStore

EVERY: Final = MINUTE


class KeyName(NamedTuple):
    """A key of a source, without its text: its id, or IN_SETTINGS of `source_keys`."""

    source: str
    id: str


def _nothing() -> None:
    """Forget nothing."""


@dataclass(slots=True, eq=False, repr=False)
class KeyUses:
    """The keys that authenticated a request since the last `store`.

    What remembers authenticated requests sets `forget`, so that the next request is counted, too:
    the requests between need no work.
    """

    used: set[KeyName] = field(default_factory=set)
    forget: Callable[[], None] = _nothing

    async def run(self, state: StateStore, clock: Clock) -> None:
        """Store the uses of each minute, until cancelled."""
        while True:
            await clock.sleep(EVERY)
            with suppress(LedgerUnavailable):  # they are stored later
                await self.store(state, now=clock.now())

    async def store(self, state: StateStore, *, now: int) -> None:
        """Store the uses since the last call. Raises LedgerUnavailable, and then keeps them."""
        used, self.used = self.used, set()
        self.forget()
        if not used:
            return
        try:
            await state.put(
                [SourceKeyUse(source=name.source, id=name.id, used_at=now) for name in sorted(used)]
            )
        except LedgerUnavailable:
            self.used |= used
            raise
