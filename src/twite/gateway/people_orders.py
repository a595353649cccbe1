"""What commands ask of a running gateway about users and keys, as values on the wire.

Passwords and keys arrive as hashes: no secret travels.
"""

from typing import Final, Literal

import msgspec

from twite.domain.people import ApiKey, Deed, User
from twite.domain.secret import Secret
from twite.gateway.people import People

Do = Literal["keep_user", "remove_user", "end_all", "keep_api_key", "revoke_api_key", "note"]


class PeopleOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of a method of gateway.people, with what it takes."""

    do: Do
    name: str = ""
    at: int = 0
    user: User | None = None
    key: ApiKey | None = None
    deed: Deed | None = None


class PeopleDone(msgspec.Struct, frozen=True, kw_only=True):
    """What the method returned, as a number."""

    done: int


def encoded(order: PeopleOrder) -> bytes:
    """Return the bytes."""
    return _ENCODER.encode(order)


def decoded(body: bytes) -> PeopleOrder:
    """Read them. Raises msgspec.DecodeError."""
    return _DECODER.decode(body)


async def obey(people: People, order: PeopleOrder) -> int:
    """Do it. Raises ValueError where the order lacks something, LedgerUnavailable."""
    match order:
        case PeopleOrder(do="keep_user", user=User() as user):
            await people.keep_user(user)
            return 1
        case PeopleOrder(do="remove_user"):
            return int(await people.remove_user(order.name))
        case PeopleOrder(do="end_all"):
            return await people.end_all(order.name)
        case PeopleOrder(do="keep_api_key", key=ApiKey() as key):
            await people.keep_api_key(key)
            return 1
        case PeopleOrder(do="revoke_api_key"):
            return int(await people.revoke_api_key(order.name, at=order.at))
        case PeopleOrder(do="note", deed=Deed() as deed):
            await people.note(deed)
            return 1
    raise ValueError(f"{order.do} lacks what it is about")


def _revealed(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_revealed)
_DECODER: Final = msgspec.json.Decoder(PeopleOrder, dec_hook=_secret)
