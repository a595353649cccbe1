"""The latest replays that a viewer sees, with the state that their own pages show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from twite.console.page import PageRequest
from twite.domain.replay_batch import ReplayBatch, ReplayProgress
from twite.gateway.operations.replays import Replays
from twite.gateway.ports.state import StateStore

_SHOWN: Final = 5


class ListedReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay, and its state in a word. `tone` is the word's colour."""

    batch: ReplayBatch
    state: str
    tone: str


def listed_replay(batch: ReplayBatch, progress: ReplayProgress) -> ListedReplay:
    """Return the state of a replay: running, done or cancelled."""
    state, tone = "running", "wait"
    if batch.cancelled_by:
        state, tone = "cancelled", "none"
    elif progress.is_settled:
        state, tone = "done", "ok"
    return ListedReplay(batch=batch, state=state, tone=tone)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class LatestReplays:
    """Reads the replays that a viewer sees, latest first."""

    state: StateStore
    replays: Replays

    async def batches(self, request: PageRequest) -> list[ReplayBatch]:
        seen = request.viewer.pixels
        return [
            batch
            for batch in reversed(await self.state.load(ReplayBatch))
            if seen is None or batch.pixel in seen
        ]

    async def listed(self, request: PageRequest) -> Sequence[ListedReplay]:
        return [
            listed_replay(batch, await self.replays.progress(batch))
            for batch in (await self.batches(request))[:_SHOWN]
        ]
