"""Account commands: changes of users and API keys that the CLI sends to a running gateway.

Passwords and keys arrive as hashes: no secret travels.
"""

from typing import Final

import msgspec

from twite.domain.people.account_changes import Change, Result
from twite.domain.people.users import AuditEvent
from twite.domain.secret import Secret


class AccountCommand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change, and its audit event: see gateway.ports.directory.

    Without a change, only the audit event is stored.
    """

    deed: AuditEvent
    change: Change | None = None


class AccountCommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a command."""

    result: Result = msgspec.field(name="upshot")


def encoded(order: AccountCommand) -> bytes:
    """Encode a command."""
    return _ENCODER.encode(order)


def decoded(body: bytes) -> AccountCommand:
    """Decode a command. Raises msgspec.DecodeError."""
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
