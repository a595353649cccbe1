"""What waits for a tag: the event, and of the request what the template may read; as JSON.

    {"pixel": …, "identifiers": […], "event": {…}, "request": {…}, "client": …, "at": …}

`pixel` and `identifiers` are for opt-outs alone. Sealed, event and request are one sealed text.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.identifiers import Identifiers
from twite.domain.json_tree import Tree
from twite.gateway.ports.secret_store import Seal
from twite.gtm.template.sandbox import Incoming


class PayloadPerson(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """In X's words: see twite.x.persons."""

    twclid: str | None = None
    hashed_email: str | None = None
    hashed_phone_number: str | None = None


class TagPayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event for one tag. `at` is when it came, in milliseconds; `pixel` that of its source.

    `granted` are the signals of consent that were said beside the event's own, and whether each was
    granted. `draw` is the event's chance; 0 is none. It may hold persons: it does not print.
    """

    pixel: str
    at: int
    identifiers: tuple[PayloadPerson, ...] = ()
    event: dict[str, Tree] = {}
    request: Incoming = Incoming()
    client: str = ""
    granted: dict[str, bool] = {}
    draw: int = 0
    sealed: bytes | None = None

    def __repr__(self) -> str:
        return "Letter(***)"


class _Inside(msgspec.Struct, frozen=True, kw_only=True):
    event: dict[str, Tree]
    request: Incoming


def person_of(identifiers: Identifiers) -> tuple[PayloadPerson, ...]:
    """Return who is asked for among the opt-outs."""
    if not (identifiers.click_id or identifiers.email or identifiers.phone):
        return ()
    return (
        PayloadPerson(
            twclid=identifiers.click_id,
            hashed_email=identifiers.email,
            hashed_phone_number=identifiers.phone,
        ),
    )


def written(letter: TagPayload, *, name: str, seal: Seal | None = None) -> bytes:
    """Return the letter as it waits on the disk; sealed under the tag's name where there is a seal.

    What JSON cannot hold becomes what it can.
    """
    if seal is None:
        return _encoded(letter)
    inside = _encoded(_Inside(event=letter.event, request=letter.request))
    return _ENCODER.encode(
        msgspec.structs.replace(
            letter, event={}, request=Incoming(), sealed=seal.close(name, inside)
        )
    )


def read(body: bytes, *, name: str, seal: Seal | None = None) -> TagPayload:
    """Read it back. Raises NotOpened, and msgspec.DecodeError for what is no letter."""
    letter = _LETTER.decode(body)
    if letter.sealed is None:
        return letter
    if seal is None:
        raise msgspec.ValidationError("it is sealed, and there is no key")
    inside = _INSIDE.decode(seal.open(name, letter.sealed))
    return msgspec.structs.replace(letter, event=inside.event, request=inside.request, sealed=None)


def resealed(body: bytes, *, name: str, seal: Seal) -> bytes | None:
    """Return a sealed letter under the current key; None where it is, or nothing is sealed.

    Raises as `read` does.
    """
    letter = _LETTER.decode(body)
    if letter.sealed is None or seal.is_current(letter.sealed):
        return None
    anew = seal.close(name, seal.open(name, letter.sealed))
    return _ENCODER.encode(msgspec.structs.replace(letter, sealed=anew))


def _encoded(value: TagPayload | _Inside) -> bytes:
    try:
        return _ENCODER.encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError):
        plain = _plain(value.event)
        event = plain if isinstance(plain, dict) else {}
        return _ENCODER.encode(msgspec.structs.replace(value, event=event))


def _plain(value: object) -> Tree:
    if isinstance(value, Mapping):
        return {_text(str(name)): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bool | float | None):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else float(value)
    return _text(str(value))


def _text(text: str) -> str:
    return _HALF.sub("\ufffd", text)


_HALF: Final = re.compile("[\ud800-\udfff]")
_ENCODER: Final = msgspec.json.Encoder()
_LETTER: Final = msgspec.json.Decoder(TagPayload)
_INSIDE: Final = msgspec.json.Decoder(_Inside)
