"""Privacy port: opt-outs and the erasure of a person."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Protocol

import msgspec

from twite.domain.people.erasure import ErasureSubject
from twite.domain.people.users import AuditEvent

# A row id.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Place = Literal[
    "answer", "reason", "note", "amended", "pause", "closure", "ignored", "rejection", "sync"
]


class ErasedText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The conversions to erase from a submission's body, by index.

    If `places` is None, the whole body is erased.
    """

    submission: Number
    places: tuple[Number, ...] | None = None


class SearchText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text that names a person: its place, and the delivery, attempt, pixel or sync of it.

    An ignored event is identified by a digest of its name, and a rejection by its id and time,
    because its row may be reused.
    """

    place: Place
    of: Number | str


class EraseStore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slice of an erasure. Deliveries in flight are left for a later slice.

    `known` are rows of what is known of visitors.

    `keys` are added to the opt-out list, and `audit_event` to the audit log. `anew` rebuilds the
    index of dedup_rows; `ends` deletes older versions of the erased data: it empties the
    write-ahead log, or vacuums the tables. With `overwrites`, which follows `ends`, a store that
    does not overwrite in place overwrites the places that the erased conversions, cuts and
    dedup_rows have freed.
    """

    conversions: tuple[Number, ...] = ()
    cuts: tuple[ErasedText, ...] = ()
    dedup_rows: tuple[Number, ...] = ()
    known: tuple[Number, ...] = ()
    texts: tuple[SearchText, ...] = ()
    keys: tuple[bytes, ...] = ()
    audit_event: AuditEvent | None = None
    anew: bool = False
    ends: bool = False
    overwrites: bool = False


class EraseTraces(msgspec.Struct, kw_only=True):
    """The result of a search. `states` counts conversions by pixel and state.

    `payloads` counts tag payloads, and `audit_events` the audit events that name the person.
    `in_progress` are conversions in flight, which `conversions` does not contain.
    """

    conversions: list[int] = []
    cuts: list[ErasedText] = []
    dedup_rows: list[int] = []
    known: list[int] = []
    texts: list[SearchText] = []
    states: dict[str, dict[str, int]] = {}
    payloads: int = 0
    in_progress: list[int] = []
    audit_events: int = 0

    @property
    def size(self) -> int:
        """The number of items to erase or wait for."""
        named = len(self.cuts) + len(self.dedup_rows) + len(self.known) + len(self.texts)
        return len(self.conversions) + len(self.in_progress) + named


class EraseSearch(msgspec.Struct, frozen=True, kw_only=True):
    """The search for a person.

    `pixel` limits the given conversion ids to one pixel. `opened` decrypts a tag payload if there
    is a key: (tag, body) → text; any thread may call it. `pursued` lists conversions to erase even
    if the text that named the person is gone.
    """

    subject: ErasureSubject
    pixel: str | None = None
    opened: Callable[[str, bytes], bytes]
    pursued: frozenset[int] = frozenset()


class Privacy(Protocol):
    """Erasure, and the opt-out list, whose keys come from `domain.consent.person_keys`.

    A claim suppresses deliveries about people on the list. `has_opt_outs` and `lists` may read from
    a copy of the list.
    """

    def has_opt_outs(self) -> bool:
        """Return whether the list has entries."""

    def lists(self, keys: Sequence[bytes]) -> bool:
        """Return whether one of the keys is listed."""

    async def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        """Add keys durably. Later claims obey the list."""

    async def restore(self, keys: Sequence[bytes]) -> None:
        """Remove keys."""

    async def forget_identifiers(self, *, most: int) -> int:
        """Delete what joins know of visitors, but not their denials; return the number of rows."""

    async def erase(self, erase: EraseStore, *, now: int) -> int:
        """Erase one slice durably; return the number of conversions erased.

        With `ends`, return 1 once the write-ahead log is empty, or 0 if a reader prevented that for
        too long.
        """
