"""What commands ask of a running gateway about users and keys, as values on the wire.

Passwords and keys arrive as hashes: no secret travels.
"""

from typing import Final

import msgspec

from twite.domain.people.account_changes import Change, Result
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret


class AccountCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change, and what is to be noted of it: see gateway.people.Roster.

    Without a change, only the deed is noted: what was done elsewhere.
    """

    deed: AuditEvent
    change: Change | None = None


class AccountCommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    result: Result = msgspec.field(name="upshot")


def encoded(order: AccountCommand) -> bytes:
    """Return the bytes."""
    return _ENCODER.encode(order)


def decoded(body: bytes) -> AccountCommand:
    """Read them. Raises msgspec.DecodeError."""
    return _DECODER.decode(body)


def _revealed(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_revealed)
_DECODER: Final = msgspec.json.Decoder(AccountCommand, dec_hook=_secret)
