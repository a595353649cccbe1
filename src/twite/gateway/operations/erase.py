"""Erase a person from the store, without changing the balance.

    search        on a read-only connection beside the owner: `EraseTraces`
    block         put the identifiers on the opt-out list
    erase         by row ids, in slices between commits: `EraseStore`
    search again  until nothing is found; then empty the write-ahead log

No identifier is passed between processes: the search names rows, and places in them.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, Protocol

import msgspec

from twite.domain.people.erasure import ErasureSubject
from twite.domain.people.users import AuditEvent

# The reason of a queued delivery that is not sent.
ERASED: Final = "erased: a person was taken out of the store"
# The replacements of a conversion id and of a text.
PREFIX: Final = "erased-"
GONE: Final = "erased"

# A row id.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Place = Literal["answer", "reason", "note", "amended", "pause", "closure", "ignored", "rejection"]


class ErasedText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The conversions to erase from a submission's body, by index; None for the whole body."""

    submission: Number
    places: tuple[Number, ...] | None = None


class SearchText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text that names a person: its place, and its delivery, attempt or pixel.

    An ignored event has no id and is named by a digest of its name. A rejection is named by its id
    and time, because another may replace it meanwhile.
    """

    place: Place
    of: Number | str


class EraseStore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slice of an erasure. In-flight deliveries are left for a later one.

    `keys` go on the opt-out list; `deed` goes into the audit log; `anew` rebuilds the index of
    sightings, `ends` empties the write-ahead log.
    """

    conversions: tuple[Number, ...] = ()
    cuts: tuple[ErasedText, ...] = ()
    sightings: tuple[Number, ...] = ()
    texts: tuple[SearchText, ...] = ()
    keys: tuple[bytes, ...] = ()
    deed: AuditEvent | None = None
    anew: bool = False
    ends: bool = False


class EraseTraces(msgspec.Struct, kw_only=True):
    """The result of a search. `states` counts conversions by pixel and state.

    `letters` counts tag payloads, `deeds` audit events that name the person. `in_progress` are in
    flight now, and not among `conversions`.
    """

    conversions: list[int] = []
    cuts: list[ErasedText] = []
    sightings: list[int] = []
    texts: list[SearchText] = []
    states: dict[str, dict[str, int]] = {}
    letters: int = 0
    in_progress: list[int] = []
    deeds: int = 0

    @property
    def size(self) -> int:
        """The number of items to erase or wait for."""
        named = len(self.cuts) + len(self.sightings) + len(self.texts)
        return len(self.conversions) + len(self.in_progress) + named


class Eraser(Protocol):
    """Erases in the process that owns the store."""

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        """Erase one slice durably; return the number of conversions erased.

        With `ends`, return 1 once the log is empty, 0 if a reader blocked it for too long.
        """
        ...


def named_places(
    body: bytes, whom: ErasureSubject, ids: frozenset[str]
) -> tuple[tuple[int, ...] | None, list[str]] | None:
    """Return (indexes of conversions that name the person, their conversion ids).

    None if the body does not name them; the indexes are None if the whole body must go.
    """
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (None, []) if whom.named_in_any(body) else None
    several = told.get("conversions") if isinstance(told, Mapping) else None
    if not isinstance(several, list):
        own = _id_of(told)
        return (None, _known(own)) if own in ids or whom.named_in(body) else None
    places = [
        place
        for place, conversion in enumerate(several)
        if _id_of(conversion) in ids or whom.named_in(msgspec.json.encode(conversion))
    ]
    if not places:
        # Beside its conversions, a body may hold what a tag sent.
        return (None, []) if whom.named_in(body) else None
    named = [id_ for place in places for id_ in _known(_id_of(several[place]))]
    return (None if len(places) == len(several) else tuple(places)), named


def cut(body: bytes, places: Sequence[int] | None) -> bytes:
    """Return a submission's body without some conversions; the others keep their indexes.

    A body without a list of conversions is emptied.
    """
    if places is None:
        return b""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    several = told.get("conversions") if isinstance(told, dict) else None
    if not isinstance(several, list):
        return b""
    gone = set(places)
    left = [
        {GONE: True} if place in gone else conversion for place, conversion in enumerate(several)
    ]
    # Other keys hold a tag's request, which covers all conversions: drop them.
    return msgspec.json.encode({"conversions": left})


def _id_of(conversion: object) -> str | None:
    found = conversion.get("conversion_id") if isinstance(conversion, Mapping) else None
    return None if found is None else str(found).strip()


def _known(id_: str | None) -> list[str]:
    return [] if id_ is None else [id_]
