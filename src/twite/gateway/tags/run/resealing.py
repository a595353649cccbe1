"""Letters that wait sealed, after the key was changed: sealed anew with the current one.

They lie in the outbox, queued, held or dead, each under its tag's name. What is settled stays as it
is: nobody opens it any more.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from twite.domain.errors import NotOpened
from twite.gateway.ports.secret_store import Seal
from twite.gateway.tags.run.payload import resealed

# From (a tag's name, a letter) to the letter as it is to be; None where it stays.
Write = Callable[[str, bytes], bytes | None]
# Deliveries that are looked at in one transaction, and transactions before somebody hears of it.
_SOME: Final = 250
_TURNS: Final = 40


class RewrittenPayloads(msgspec.Struct, frozen=True, kw_only=True):
    """How many letters were, and the last delivery that was looked at; None where none follow."""

    letters: int = 0
    last: int | None = None


class TagPayloadStore(Protocol):
    """What waits for tags in a store."""

    async def rewrite(self, write: Write, *, after: int, limit: int) -> RewrittenPayloads:
        """Put letters in the place of others, among `limit` unsettled deliveries behind `after`.

        A damaged one stays as it is. Raises LedgerUnavailable.
        """
        ...

    async def heads(self) -> Sequence[tuple[bytes, int]]:
        """Return (the first 6 bytes of a sealed text, how many have it) of all that wait."""
        ...


class UnsealedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much is sealed otherwise than with the current key.

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
    """Seals letters anew."""

    def __init__(self, *, letters: TagPayloadStore, seal: Seal) -> None:
        self._letters = letters
        self._seal = seal

    async def some(self, *, after: int = 0) -> RewrittenPayloads:
        """Look at some behind a delivery. One that cannot be opened stays as it is."""
        done, at = 0, after
        for _ in range(_TURNS):
            turn = await self._letters.rewrite(self.anew, after=at, limit=_SOME)
            done += turn.letters
            if turn.last is None:
                return RewrittenPayloads(letters=done)
            at = turn.last
        return RewrittenPayloads(letters=done, last=at)

    async def all(self) -> int:
        """Return how many letters were sealed anew. Raises LedgerUnavailable."""
        done, last = 0, 0
        while True:
            some = await self.some(after=last)
            done += some.letters
            if some.last is None:
                return done
            last = some.last

    def anew(self, name: str, body: bytes) -> bytes | None:
        """Return a letter under the current key; None where it stays as it is."""
        try:
            return resealed(body, name=name, seal=self._seal)
        except (NotOpened, msgspec.DecodeError, UnicodeDecodeError):
            return None


def counted(*, secrets: int = 0, letters: int = 0) -> str:
    """Say how many there are: of secrets and of what waits for tags."""
    parts = [(secrets, "secret"), (letters, "waiting conversion")]
    said = [f"{many} {word}{'' if many == 1 else 's'}" for many, word in parts if many]
    return " and ".join(said) or "nothing"


def left(
    seal: Seal, *, secrets: Sequence[tuple[str, bytes]], heads: Sequence[tuple[bytes, int]]
) -> UnsealedCounts:
    """Return what is sealed otherwise, from what the vault holds and how letters begin."""
    strange: dict[str, int] = {}
    for head, many in heads:
        if not seal.is_current(head) and not seal.is_former(head):
            key = seal.key_of(head)
            strange[key] = strange.get(key, 0) + many
    return UnsealedCounts(
        secrets=sum(seal.is_former(sealed) for _, sealed in secrets),
        letters=sum(many for head, many in heads if seal.is_former(head)),
        strange=strange,
    )
