"""Key rotation: seal queued tag payloads anew with the current key.

They lie in the outbox, queued, held or dead, each under its tag's name. What is settled stays as it
is: nobody opens it any more.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.errors import NotOpened
from twite.gateway.ports.outbox import Outbox, RewrittenPayloads
from twite.gateway.ports.secret_store import Seal
from twite.gateway.ports.state import SealedSecret
from twite.gateway.tags.run.payload import resealed

# Deliveries per transaction, and transactions per progress report.
_SOME: Final = 250
_TURNS: Final = 40


class UnsealedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of texts not sealed with the current key.

    `secrets` and `letters` with a former one; `strange` are letters, by the name of a key that is
    not here.
    """

    secrets: int = 0
    letters: int = 0
    strange: Mapping[str, int] = {}

    @property
    def any(self) -> bool:
        """Whether a former key is still needed."""
        return bool(self.secrets or self.letters)


class Resealing:
    """Seals tag payloads anew."""

    def __init__(self, *, outbox: Outbox, seal: Seal) -> None:
        self._outbox = outbox
        self._seal = seal

    async def some(self, *, after: int = 0) -> RewrittenPayloads:
        """Check some deliveries after one. A payload that cannot be opened is kept."""
        done, at = 0, after
        for _ in range(_TURNS):
            turn = await self._outbox.rewrite(self.anew, after=at, limit=_SOME)
            done += turn.letters
            if turn.last is None:
                return RewrittenPayloads(letters=done)
            at = turn.last
        return RewrittenPayloads(letters=done, last=at)

    async def all(self) -> int:
        """Reseal all payloads; return their number. Raises LedgerUnavailable."""
        done, last = 0, 0
        while True:
            some = await self.some(after=last)
            done += some.letters
            if some.last is None:
                return done
            last = some.last

    def anew(self, name: str, body: bytes) -> bytes | None:
        """Return a payload under the current key; None to keep it."""
        try:
            return resealed(body, name=name, seal=self._seal)
        except (NotOpened, msgspec.DecodeError, UnicodeDecodeError):
            return None


def counted(*, secrets: int = 0, letters: int = 0) -> str:
    """Return the counts in words."""
    parts = [(secrets, "secret"), (letters, "waiting conversion")]
    counts = [f"{many} {word}{'' if many == 1 else 's'}" for many, word in parts if many]
    return " and ".join(counts) or "nothing"


def left(
    seal: Seal, *, secrets: Sequence[SealedSecret], heads: Sequence[tuple[bytes, int]]
) -> UnsealedCounts:
    """Count texts under former or unknown keys, by their first bytes."""
    strange: dict[str, int] = {}
    for head, many in heads:
        if not seal.is_current(head) and not seal.is_former(head):
            key = seal.key_of(head)
            strange[key] = strange.get(key, 0) + many
    return UnsealedCounts(
        secrets=sum(seal.is_former(secret.sealed) for secret in secrets),
        letters=sum(many for head, many in heads if seal.is_former(head)),
        strange=strange,
    )
