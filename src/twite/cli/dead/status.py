"""`twite dead replays` and `twite dead cancel`: follow replays to their end, or cancel them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from twite.app.control_client import GatewayClient, running
from twite.app.store_access import engine_of, open_operations, open_records
from twite.cli import printing
from twite.cli.options import who
from twite.config.settings import Settings
from twite.domain.errors import OperatorError
from twite.domain.people.users import AuditEvent
from twite.domain.replay_batch import ReplayBatch, ReplayProgress, ReplayState
from twite.domain.times import spelled
from twite.gateway.operations.edit import Edit
from twite.gateway.operations.replays import ReplayRecords, Replays, cancel_event
from twite.gateway.ports.store import Store, StoreReader
from twite.machine.system import SystemClock, SystemRandomness

# How often the command reads the progress, in seconds.
_LOOK: Final = 0.5
_WORDS: Final = {name: name for name in ReplayProgress.__struct_fields__} | {
    "refused": "refused again",
    "taken_back": "taken back",
}


class NoSuchReplay(OperatorError):
    """There is no replay of this id, or nothing of it is left to cancel."""


class ReplayStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A replay, and where its deliveries are now.

    `pixel` and `event` are "" if there are several; `edit` says how the conversions are changed.
    `left` are not queued yet, `unchanged` could not be queued, and `taken_back` are those that a
    cancelled replay has not sent.
    """

    id: str
    at: str
    who: str
    pixel: str
    event: str
    edit: str
    total: int
    state: ReplayState
    progress: ReplayProgress

    @property
    def in_words(self) -> str:
        counts = msgspec.structs.asdict(self.progress)
        return ", ".join(f"{count} {_WORDS[name]}" for name, count in counts.items() if count)

    @property
    def is_delivered(self) -> bool:
        return self.progress.delivered == self.total


def replays_of(store: Store) -> Replays:
    """Return what starts and cancels replays in a store that this process has opened."""
    return Replays(
        state=store,
        queries=store,
        moves=store,
        clock=SystemClock(),
        randomness=SystemRandomness(),
    )


async def status_of(records: ReplayRecords, batch: ReplayBatch) -> ReplayStatus:
    progress = await records.progress(batch)
    return ReplayStatus(
        id=batch.id,
        at=spelled(batch.at),
        who=batch.who,
        pixel=batch.pixel,
        event=batch.event,
        edit=msgspec.json.decode(batch.edit, type=Edit).sentence,
        total=batch.total,
        state=progress.state_of(batch),
        progress=progress,
    )


async def read_status(settings: Settings, id_: str | None, limit: int) -> list[ReplayStatus]:
    """Return a replay, or the latest ones. Raises NoSuchReplay if there is no such replay."""
    async with open_records(settings) as reader:
        records = _records(reader)
        batches = (await records.latest())[:limit] if id_ is None else [await _found(records, id_)]
        return [await status_of(records, batch) for batch in batches]


async def follow_replay(
    settings: Settings, id_: str, report: Callable[[ReplayStatus], bool]
) -> ReplayStatus:
    """Report each change until nothing is left to send; return the last status.

    Ends early if `report` returns False. Raises NoSuchReplay if there is no such replay.
    """
    async with open_records(settings) as reader:
        records = _records(reader)
        last = await status_of(records, await _found(records, id_))
        goes_on = report(last)
        while goes_on and last.state is ReplayState.RUNNING:
            await asyncio.sleep(_LOOK)
            status = await status_of(records, await _found(records, id_))
            goes_on = status == last or report(status)
            last = status
        return last


async def cancelled(settings: Settings, id_: str) -> ReplayStatus:
    """Cancel a replay that has something left to send. Raises NoSuchReplay."""
    (status,) = await read_status(settings, id_, 1)
    if status.state is not ReplayState.RUNNING:
        raise NoSuchReplay(f"replay {id_} is {status.state}: nothing is left to cancel")
    async with open_operations(settings) as operations:
        if isinstance(operations, GatewayClient):
            async with open_records(settings) as reader:
                batch = await _found(_records(reader), id_)
            await operations.cancel_replay(batch, audit_event=_cancel_event(batch))
        else:
            replays = replays_of(operations)
            batch = await _found(replays.records, id_)
            await replays.cancel(batch, audit_event=_cancel_event(batch))
    (status,) = await read_status(settings, id_, 1)
    return status


def may_be_sent(settings: Settings) -> bool:
    """Return whether a gateway may be running: a server's store may have gateways elsewhere."""
    return engine_of(settings).is_server or running(settings.store.gateway_file) is not None


def print_replays(statuses: Sequence[ReplayStatus]) -> None:
    printing.print_table(
        ["replay", "started at", "by", "pixel", "state", "conversions", "now"],
        [
            [
                status.id,
                status.at,
                status.who,
                status.pixel or "several",
                status.state.value,
                status.total,
                status.in_words,
            ]
            for status in statuses
        ],
    )


def _records(reader: StoreReader) -> ReplayRecords:
    return ReplayRecords(state=reader, queries=reader)


async def _found(records: ReplayRecords, id_: str) -> ReplayBatch:
    found = await records.find(id_)
    if found is None:
        raise NoSuchReplay(
            f"there is no replay {id_}. twite dead replays lists those of the last 30 days"
        )
    return found


def _cancel_event(batch: ReplayBatch) -> AuditEvent:
    return cancel_event(batch, who=who(), now=SystemClock().now())
