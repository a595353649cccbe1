"""What is stored about a sync: how far it is, and what its last run did."""

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from twite.app.sync.positions import QueryProgress
from twite.config.syncs import SyncSettings
from twite.domain.errors import ClientError
from twite.formats.files.results import RowResult, RowResultKind
from twite.gateway.operations.control import PositionChoice
from twite.gateway.ports.state import ALL_PAUSED, StateReader, StateStore, SyncRecord
from twite.readers.database.connection import shown_place, without_end
from twite.redaction.scrub_text import names_a_person
from twite.redaction.shapes import MASK

_MOST_SHOWN: Final = 20
_KEEP: Final = "`twite sync {} --position keep` to continue after the position"
_RESET: Final = "`twite sync {} --position reset` to begin as a new sync"
PAUSED: Final = (
    "paused: the store is an older copy, so rows since the copy may have been sent. "
    "`twite sync NAME` continues"
)


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row and its result. The message never repeats an identifier."""

    conversion_id: str
    verdict: str
    code: str
    message: str


class SyncRun(msgspec.Struct, kw_only=True):
    """A run: its totals by verdict, and some rows that were not accepted.

    `files` counts the files of object storage. `is_done` is False if there are more rows.
    """

    at: int
    rows: int = 0
    files: int = 0
    verdicts: dict[str, int] = msgspec.field(default_factory=dict)
    refused: list[RefusedRow] = msgspec.field(default_factory=list)
    error: str = ""
    is_done: bool = True

    def add(self, results: Sequence[RowResult]) -> None:
        for result in results:
            self.rows += 1
            self.verdicts[result.kind] = self.verdicts.get(result.kind, 0) + 1
            if result.kind is RowResultKind.REJECTED and len(self.refused) < _MOST_SHOWN:
                self.refused.append(refused_row(result))


def refused_row(result: RowResult) -> RefusedRow:
    first = next(iter((*result.errors, *result.notes)), None)
    return RefusedRow(
        conversion_id=MASK if names_a_person(result.order) else result.order,
        verdict=result.kind,
        code=first.code if first else "",
        message=first.message if first else "",
    )


class SyncOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync reads, to notice when its position is of something else.

    `url` has no password and no options; `query` is a digest, without the spaces.
    """

    url: str
    query: str = ""
    cursor: str = ""
    key: str = ""

    @classmethod
    def of(cls, sync: SyncSettings) -> "SyncOrigin":
        url = shown_place(sync.secret_url.reveal())
        if sync.is_storage:
            return cls(url=url)
        words = " ".join(without_end(sync.query).split())
        return cls(
            url=url,
            query=hashlib.sha256(words.encode()).hexdigest(),
            cursor=sync.cursor,
            key=sync.key,
        )

    def changed(self, origin: "SyncOrigin") -> list[str]:
        """Return the keys of the settings that differ."""
        return [
            name for name in self.__struct_fields__ if getattr(self, name) != getattr(origin, name)
        ]


class SyncState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sync is.

    `caught_up_at` is the start (ms) of the last run that read everything, None before the first;
    `skipped_until` that of the first run, if it sent nothing. `history_begin` (ms) is since when
    the gateway's history has all conversions.
    `has_begun` is whether a run has decided where to begin, in `origin`. `resumed` is the pause
    after which a command ran the sync.
    """

    has_begun: bool = False
    origin: SyncOrigin | None = None
    progress: QueryProgress = QueryProgress()
    caught_up_at: int | None = None
    skipped_until: int | None = None
    history_begin: int = 0
    last_run: SyncRun | None = None
    resumed: str = ""

    def record(self, name: str) -> SyncRecord:
        return SyncRecord(name=f"{name}/", state=msgspec.json.encode(self).decode())


class SentObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object that was sent, or was there at the first run. `at` is in ms."""

    etag: str
    size: int
    at: int
    rows: int = 0

    def record(self, name: str, path: str) -> SyncRecord:
        return SyncRecord(name=f"{name}/{path}", state=msgspec.json.encode(self).decode())


def require_same_origin(state: SyncState, sync: SyncSettings) -> None:
    """Raise ClientError if the position is of another source, query or order."""
    changed = [] if state.origin is None else state.origin.changed(SyncOrigin.of(sync))
    if changed:
        verb = "has" if len(changed) == 1 else "have"
        keep = "" if {"cursor", "key"} & set(changed) else f"{_KEEP.format(sync.name)}, or "
        raise ClientError(
            f"{' and '.join(changed)} {verb} changed, so the stored position may hide rows. Run "
            f"{keep}{_RESET.format(sync.name)}"
        )


async def decide_position(store: StateStore, sync: SyncSettings, choice: PositionChoice) -> None:
    """Keep the position for a changed source or query, or forget it. Raises LedgerUnavailable."""
    state = await load_state(store, sync.name)
    if choice is PositionChoice.KEEP:
        kept = SyncOrigin.of(sync)
        if state.origin is not None and not {"cursor", "key"} & set(state.origin.changed(kept)):
            await store.put([msgspec.structs.replace(state, origin=kept).record(sync.name)])
        return
    own = f"{sync.name}/"
    objects = [record.name for record in await store.load(SyncRecord, prefix=own)]
    await store.delete(SyncRecord, *(name for name in objects if name != own))
    await store.put(
        [SyncState(resumed=state.resumed, history_begin=state.history_begin).record(sync.name)]
    )


async def load_pause(reader: StateReader, state: SyncState) -> str:
    """Return the pause of a sync, "" for none.

    After the store was replaced with an older copy, a sync would send again what it had sent since.
    """
    records = await reader.load(SyncRecord, prefix=ALL_PAUSED)
    pause = records[0].state if records else ""
    return "" if pause == state.resumed else pause


async def load_state(reader: StateReader, name: str) -> SyncState:
    """Return the state of a sync. Raises LedgerUnavailable."""
    own = f"{name}/"
    for record in await reader.load(SyncRecord, prefix=own):
        if record.name == own:
            return msgspec.json.decode(record.state, type=SyncState)
    return SyncState()


async def load_objects(reader: StateReader, name: str) -> dict[str, SentObject]:
    """Return the objects of a sync by path. Raises LedgerUnavailable."""
    own = f"{name}/"
    return {
        record.name.removeprefix(own): msgspec.json.decode(record.state, type=SentObject)
        for record in await reader.load(SyncRecord, prefix=own)
        if record.name != own
    }
