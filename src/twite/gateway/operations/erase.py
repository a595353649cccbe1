"""Erase: what names a person goes from the store, and the balance stays.

    look       beside the owner, on a connection that only reads: `Traces`
    list       who must not come back is listed as whoever revoked consent is
    erase      by numbers, in slices between commits: `Erasing`
    look again until nothing is found; then the log is emptied

No identifier travels: whoever looks says which rows, and which places in them.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, Protocol

import msgspec

from twite.domain.people.erasure import ErasureSubject
from twite.domain.people.users import AuditEvent

# Why what still waited is not sent.
ERASED: Final = "erased: a person was taken out of the store"
# What stands in the place of a conversion id, and of a text.
PREFIX: Final = "erased-"
GONE: Final = "erased"

# What SQLite numbers rows with.
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Place = Literal["answer", "reason", "note", "amended", "pause", "closure", "ignored", "rejection"]


class ErasedText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which conversions of a submission's body go, by their places in it; None for all of it."""

    submission: Number
    places: tuple[Number, ...] | None = None


class SearchText(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text that names somebody: where it is, and of which delivery, attempt or pixel.

    The name of what was ignored is known by its own digest: no number stands beside it. A rejection
    is known by its number and its moment: another may take its place meanwhile.
    """

    place: Place
    of: Number | str


class EraseStore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One slice of an erasure. What is being sent at the moment is left for a later one.

    `keys` are put on the list of those who revoked; `deed` goes into the audit; `anew` is whether
    the index of sightings is made anew, `ends` whether the log is to be emptied.
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
    """What a look found. `states` counts conversions by pixel and state, `letters` those of tags.

    `under_way` are being sent at this moment, and are not among `conversions`; `deeds` counts lines
    of the audit that name somebody.
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
        """How much there is to erase, or to wait for."""
        named = len(self.cuts) + len(self.sightings) + len(self.texts)
        return len(self.conversions) + len(self.in_progress) + named


class Eraser(Protocol):
    """The owner of the store."""

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        """Do one slice, durably; return how many conversions were erased.

        With `ends`, return 1 once the log is empty, 0 where a reader was in the way for too long.
        """
        ...


def named_places(
    body: bytes, whom: ErasureSubject, ids: frozenset[str]
) -> tuple[tuple[int, ...] | None, list[str]] | None:
    """Return which places of a submission's body name somebody, and their conversion ids.

    None where none does; places are None where all of the body goes.
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
        for place, one in enumerate(several)
        if _id_of(one) in ids or whom.named_in(msgspec.json.encode(one))
    ]
    if not places:
        # Beside its conversions, a body may hold what a tag sent.
        return (None, []) if whom.named_in(body) else None
    named = [id_ for place in places for id_ in _known(_id_of(several[place]))]
    return (None if len(places) == len(several) else tuple(places)), named


def cut(body: bytes, places: Sequence[int] | None) -> bytes:
    """Return a submission's body without some of its conversions; the others keep their places.

    What is no body with conversions goes whole.
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
    left = [{GONE: True} if place in gone else one for place, one in enumerate(several)]
    # What the tag of a site had sent is of all of them together.
    return msgspec.json.encode({"conversions": left})


def _id_of(one: object) -> str | None:
    found = one.get("conversion_id") if isinstance(one, Mapping) else None
    return None if found is None else str(found).strip()


def _known(id_: str | None) -> list[str]:
    return [] if id_ is None else [id_]
