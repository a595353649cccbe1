"""Tag payload: the event and the readable part of the request, as JSON in the tag's queue.

    {"pixel": …, "identifiers": […], "event": {…}, "request": {…}, "client": …, "at": …}

`pixel` and `identifiers` are used only for opt-outs. In a sealed payload, event and request are
encrypted together: see twite.gateway.operations.sealed_payloads.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.conversion import Identifiers
from twite.domain.incoming_request import IncomingRequest
from twite.gateway.ports.secret_store import Seal
from twite.tags.container.plan import PendingTriggers
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import TagCall
from twite.tags.template.effects import SetCookie

_HALF: Final = re.compile("[\ud800-\udfff]")
_ENCODER: Final = msgspec.json.Encoder()


class PayloadPerson(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A person's identifiers in X's format: see twite.x.encode."""

    twclid: str | None = None
    hashed_email: str | None = None
    hashed_phone_number: str | None = None


class TagPayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event for one tag.

    `at` is the time of receipt, in milliseconds; `pixel` is the source's pixel. `granted` has the
    consent signals sent in addition to the event's own, and whether each was granted. `draw` is the
    event's random number, or 0. The payload may contain personal data, so its repr is masked.

    `seed` is the seed of the first turn, if it ran before the response, else 0. `cookies` has
    digests of the cookies that the first turn set, and `pixels` is whether the browser loads its
    pixels. `preview` names the trace of a preview session. If the tag may run the container,
    `source` is the event's source, and `from_page` is whether a page sent the event, or the event
    from which a tag created it. `call` is the tag's call that created the event. `pending` are
    triggers still to be evaluated: they decide whether the tag fires.
    """

    pixel: str
    at: int
    identifiers: tuple[PayloadPerson, ...] = ()
    event: dict[str, Tree] = {}
    request: IncomingRequest = IncomingRequest()
    client: str = ""
    granted: dict[str, bool] = {}
    draw: int = 0
    seed: int = 0
    cookies: tuple[str, ...] = ()
    pixels: bool = False
    preview: str = ""
    source: str = ""
    from_page: bool = False
    call: TagCall | None = None
    pending: PendingTriggers | None = None
    sealed: bytes | None = None

    def __repr__(self) -> str:
        return "TagPayload(***)"


class _SealedPart(msgspec.Struct, frozen=True, kw_only=True):
    event: dict[str, Tree]
    request: IncomingRequest


def payload_persons(persons: Iterable[Identifiers]) -> tuple[PayloadPerson, ...]:
    """Return the people to look up on the opt-out list, each once."""
    found = (
        PayloadPerson(
            twclid=person.click_id,
            hashed_email=person.email,
            hashed_phone_number=person.phone,
        )
        for person in persons
        if person.click_id or person.email or person.phone
    )
    return tuple(dict.fromkeys(found))


def persons_in(payload: TagPayload) -> tuple[Identifiers, ...]:
    """Return the people of a payload, in the form that `payload_persons` accepts."""
    return tuple(
        Identifiers(
            click_id=person.twclid, email=person.hashed_email, phone=person.hashed_phone_number
        )
        for person in payload.identifiers
    )


def cookie_mark(cookie: SetCookie) -> str:
    """Return a digest of a cookie, which does not reveal its value."""
    pair = f"{cookie.name}={cookie.value}".encode("utf-8", "replace")
    return blake2b(pair, digest_size=8).hexdigest()


def written(payload: TagPayload, *, name: str, seal: Seal | None = None) -> bytes:
    """Encode a payload; with a seal, seal its event and request under the tag's name.

    Values that JSON cannot hold are converted.
    """
    if seal is None:
        return _encoded(payload)
    inside = _encoded(_SealedPart(event=payload.event, request=payload.request))
    return _ENCODER.encode(
        msgspec.structs.replace(
            payload, event={}, request=IncomingRequest(), sealed=seal.close(name, inside)
        )
    )


def read(body: bytes, *, name: str, seal: Seal | None = None) -> TagPayload:
    """Decode a payload. Raises NotOpened, msgspec.DecodeError."""
    payload = _PAYLOAD.decode(body)
    if payload.sealed is None:
        return payload
    if seal is None:
        raise msgspec.ValidationError("it is encrypted, and no key is configured")
    inside = _INSIDE.decode(seal.open(name, payload.sealed))
    return msgspec.structs.replace(payload, event=inside.event, request=inside.request, sealed=None)


def decided(body: bytes) -> bytes | None:
    """Return a payload without its pending triggers; None if it has none."""
    payload = _PAYLOAD.decode(body)
    if payload.pending is None:
        return None
    return _ENCODER.encode(msgspec.structs.replace(payload, pending=None))


def _encoded(value: TagPayload | _SealedPart) -> bytes:
    try:
        return _ENCODER.encode(value)
    except (UnicodeEncodeError, OverflowError, TypeError):
        plain = _plain(value.event)
        event = plain if isinstance(plain, dict) else {}
        return _ENCODER.encode(msgspec.structs.replace(value, event=event))


def _plain(value: object) -> Tree:
    if isinstance(value, Mapping):
        return {_text(str(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | float | None):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else float(value)
    return _text(str(value))


def _text(text: str) -> str:
    return _HALF.sub("\ufffd", text)


_PAYLOAD: Final = msgspec.json.Decoder(TagPayload)
_INSIDE: Final = msgspec.json.Decoder(_SealedPart)
