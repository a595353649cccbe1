"""A rendered conversion → the identifiers in it that mean one person."""

from typing import Final

import msgspec

from twite.domain.identifiers import Identifiers


class _Identifier(msgspec.Struct, gc=False):
    twclid: str | None = None
    hashed_email: str | None = None
    hashed_phone_number: str | None = None


class _Conversion(msgspec.Struct):
    identifiers: list[_Identifier] = []


def persons_of(body: bytes) -> tuple[Identifiers, ...]:
    """Return the identifiers of a body that `encode` has rendered, one for each of its elements.

    Raises msgspec.DecodeError for anything else.
    """
    found = _DECODER.decode(body)
    return tuple(
        Identifiers(click_id=one.twclid, email=one.hashed_email, phone=one.hashed_phone_number)
        for one in found.identifiers
    )


_DECODER: Final = msgspec.json.Decoder(_Conversion)
