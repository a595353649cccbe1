"""Erase a person from the store without changing the accounting.

    search        on a read-only connection, next to the owner of the store: `EraseTraces`
    block         put the identifiers on the opt-out list
    erase         by row ids, in slices between commits: `EraseStore`
    search again  until nothing is found; then empty the write-ahead log

No identifier is passed between processes, only row ids and positions.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.people.erasure import ErasureSubject

# The reason recorded for a queued delivery that is not sent because of an erasure.
ERASED: Final = "erased: the person's data was removed from the store"
# PREFIX begins the id that replaces a conversion id; GONE replaces other texts.
PREFIX: Final = "erased-"
GONE: Final = "erased"


def named_places(
    body: bytes, subject: ErasureSubject, ids: frozenset[str]
) -> tuple[tuple[int, ...] | None, list[str]] | None:
    """Return (indexes of the conversions that name the person, their conversion ids).

    None if the body does not name the person; the indexes are None if the whole body must be
    erased.
    """
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return (None, []) if subject.named_in_any(body) else None
    several = tree.get("conversions") if isinstance(tree, Mapping) else None
    if not isinstance(several, list):
        own = _id_of(tree)
        return (None, _known(own)) if own in ids or subject.named_in(body) else None
    places = [
        place
        for place, conversion in enumerate(several)
        if _id_of(conversion) in ids or subject.named_in(msgspec.json.encode(conversion))
    ]
    if not places:
        # Besides its conversions, a body may contain data that a tag sent.
        return (None, []) if subject.named_in(body) else None
    named = [id_ for place in places for id_ in _known(_id_of(several[place]))]
    return (None if len(places) == len(several) else tuple(places)), named


def cut(body: bytes, places: Sequence[int] | None) -> bytes:
    """Return a submission's body without some conversions; the others keep their indexes.

    A body without a list of conversions is emptied.
    """
    if places is None:
        return b""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    several = tree.get("conversions") if isinstance(tree, dict) else None
    if not isinstance(several, list):
        return b""
    gone = set(places)
    left = [
        {GONE: True} if place in gone else conversion for place, conversion in enumerate(several)
    ]
    # Other keys contain a tag's request, which concerns all conversions: drop them.
    return msgspec.json.encode({"conversions": left})


def _id_of(conversion: object) -> str | None:
    found = conversion.get("conversion_id") if isinstance(conversion, Mapping) else None
    return None if found is None else str(found).strip()


def _known(id_: str | None) -> list[str]:
    return [] if id_ is None else [id_]
