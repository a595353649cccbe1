"""Extract the identifiers of a person from a rendered conversion."""

from typing import Final

import msgspec

from twite.domain.identifiers import Identifiers


class _Identifier(msgspec.Struct, gc=False):
    twclid: str | None = None
    hashed_email: str | None = None
    hashed_phone_number: str | None = None


class _Conversion(msgspec.Struct):
    identifiers: list[_Identifier] = []


class _Placed(msgspec.Struct):
    pixel: str


def persons_of(body: bytes) -> tuple[Identifiers, ...]:
    """Return the identifiers of a body that `encode` rendered, one for each of its elements.

    Raises msgspec.DecodeError for anything else.
    """
    found = _DECODER.decode(body)
    return tuple(
        Identifiers(
            click_id=identifier.twclid,
            email=identifier.hashed_email,
            phone=identifier.hashed_phone_number,
        )
        for identifier in found.identifiers
    )


def pixel_of(body: bytes, *, otherwise: str) -> str:
    """Return the pixel at which a body's person may have opted out.

    X's bodies name no pixel, and belong to the pixel they are stored under; a tag payload names its
    source's.
    """
    try:
        return _PLACED.decode(body).pixel
    except msgspec.DecodeError:
        return otherwise


_PLACED: Final = msgspec.json.Decoder(_Placed)
_DECODER: Final = msgspec.json.Decoder(_Conversion)
