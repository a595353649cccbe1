"""The latest replays that a viewer sees, with the state that their own pages show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from twite.console.page import PageRequest
from twite.domain.replay_batch import ReplayBatch, ReplayProgress, ReplayState
from twite.gateway.operations.replays import ReplayRecords

_SHOWN: Final = 5
_TONES: Final = {ReplayState.RUNNING: "wait", ReplayState.CANCELLED: "none", ReplayState.DONE: "ok"}


class ListedReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A replay, and its state in a word. `tone` is the word's colour."""

    batch: ReplayBatch
    state: ReplayState
    tone: str


def listed_replay(batch: ReplayBatch, progress: ReplayProgress) -> ListedReplay:
    """Return a replay with its state."""
    state = progress.state_of(batch)
    return ListedReplay(batch=batch, state=state, tone=_TONES[state])


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class LatestReplays:
    """Reads the replays that a viewer sees, latest first."""

    replay_records: ReplayRecords

    async def batches(self, request: PageRequest) -> list[ReplayBatch]:
        seen = request.viewer.pixels
        return [each for each in await self.replay_records.latest() if each.is_within(seen)]

    async def listed(self, request: PageRequest) -> Sequence[ListedReplay]:
        return [
            listed_replay(batch, await self.replay_records.progress(batch))
            for batch in (await self.batches(request))[:_SHOWN]
        ]
