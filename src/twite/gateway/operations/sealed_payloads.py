"""Queued payloads with a sealed part: a JSON object with the field `sealed`.

The sealed part is a JSON object, too; its fields belong beside the others of the payload. After a
key rotation, queued, held and dead payloads are resealed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.errors import NotOpened
from twite.domain.plural import plural
from twite.gateway.ports.outbox import Outbox, RewrittenPayloads
from twite.gateway.ports.secret_store import Seal
from twite.gateway.ports.state import SealedSecret

_FIELD: Final = "sealed"
_PAYLOAD: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SEALED: Final = msgspec.json.Decoder(bytes | None)
_NONE: Final = msgspec.Raw(b"null")
# Deliveries per transaction, and transactions per progress report.
_SOME: Final = 250
_TURNS: Final = 40


def opened(body: bytes, *, name: str, seal: Seal | None) -> bytes:
    """Return a payload with the fields of its sealed part. Raises NotOpened, DecodeError."""
    fields = _PAYLOAD.decode(body)
    sealed = _SEALED.decode(fields.pop(_FIELD, _NONE))
    if sealed is None:
        return body
    if seal is None:
        raise msgspec.ValidationError("it is encrypted, and no key is configured")
    return msgspec.json.encode(fields | _PAYLOAD.decode(seal.open(name, sealed)))


def resealed(body: bytes, *, name: str, seal: Seal) -> bytes | None:
    """Seal a payload again with the current key; None if it is current or not sealed.

    Raises as `opened` does.
    """
    fields = _PAYLOAD.decode(body)
    sealed = _SEALED.decode(fields.get(_FIELD, _NONE))
    if sealed is None or seal.is_current(sealed):
        return None
    anew = seal.close(name, seal.open(name, sealed))
    return msgspec.json.encode(fields | {_FIELD: msgspec.Raw(msgspec.json.encode(anew))})


class UnsealedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of texts not sealed with the current key.

    `secrets` and `payloads` count those sealed with a former key; `missing_keys` counts payloads by
    the name of the missing key.
    """

    secrets: int = 0
    payloads: int = 0
    missing_keys: Mapping[str, int] = {}

    @property
    def any(self) -> bool:
        """Whether a former key is still needed."""
        return bool(self.secrets or self.payloads)


class Resealing:
    """Reseals queued payloads with the current key."""

    def __init__(self, *, outbox: Outbox, seal: Seal) -> None:
        self._outbox = outbox
        self._seal = seal

    async def some(self, *, after: int = 0) -> RewrittenPayloads:
        """Reseal the payloads of some deliveries with an id above `after`.

        Payloads that cannot be opened are left unchanged.
        """
        done, at = 0, after
        for _ in range(_TURNS):
            turn = await self._outbox.rewrite(self.anew, after=at, limit=_SOME)
            done += turn.payloads
            if turn.last is None:
                return RewrittenPayloads(payloads=done)
            at = turn.last
        return RewrittenPayloads(payloads=done, last=at)

    async def all(self) -> int:
        """Reseal all payloads; return how many were resealed. Raises LedgerUnavailable."""
        done, last = 0, 0
        while True:
            some = await self.some(after=last)
            done += some.payloads
            if some.last is None:
                return done
            last = some.last

    def anew(self, name: str, body: bytes) -> bytes | None:
        """Return a payload sealed with the current key; None if it is to stay as it is."""
        try:
            return resealed(body, name=name, seal=self._seal)
        except (NotOpened, msgspec.DecodeError, UnicodeDecodeError):
            return None


def counted(*, secrets: int = 0, payloads: int = 0) -> str:
    parts = [(secrets, "secret"), (payloads, "tag event")]
    return " and ".join([plural(many, word) for many, word in parts if many]) or "nothing"


def left(
    seal: Seal, *, secrets: Sequence[SealedSecret], heads: Sequence[tuple[bytes, int]]
) -> UnsealedCounts:
    """Count texts that a former or unknown key sealed, judging by their first bytes."""
    missing_keys: dict[str, int] = {}
    for head, many in heads:
        if not seal.is_current(head) and not seal.is_former(head):
            key = seal.key_of(head)
            missing_keys[key] = missing_keys.get(key, 0) + many
    return UnsealedCounts(
        secrets=sum(seal.is_former(secret.sealed) for secret in secrets),
        payloads=sum(many for head, many in heads if seal.is_former(head)),
        missing_keys=missing_keys,
    )
