"""What a source may see: the lives of conversions, and the balance."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.collector.answers import Answer, Refused, error
from twite.domain.account import Account, Life, total
from twite.domain.delivery import State
from twite.domain.destination import Destination, Source
from twite.domain.times import spelled
from twite.gateway.ports import Records


class TriedOnce(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `status` is X's HTTP status, null where no answer came."""

    at: str
    outcome: str
    status: int | None
    answer: str
    ambiguous: bool


class ToldLife(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The life of one conversion. Times are RFC 3339 in UTC.

    `sent` is the conversion as X is sent it, identifiers as hashes; `reason` says why it is held,
    dead or suppressed; `due_at` is when the next try is due; `duplicates` counts how often the same
    came again; `others` are the lives of other events under the same id.
    """

    pixel: str
    event: str
    conversion_id: str
    state: State
    source: str
    receipt: str
    received_at: str
    deadline_at: str
    sent: msgspec.Raw
    attempts: tuple[TriedOnce, ...]
    duplicates: int
    reason: str | None = None
    due_at: str | None = None
    others: tuple["ToldLife", ...] = ()


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Where the conversions are. `balance` is what was received and is nowhere: 0."""

    received: int
    delivered: int
    duplicate: int
    suppressed: int
    rejected: int
    dead: int
    held: int
    pending: int
    balance: int


class BalanceOf(Balance, frozen=True, kw_only=True):
    source: str
    pixel: str


class BalanceBy(Balance, frozen=True, kw_only=True):
    """The sum, and its parts by source and pixel. `pixel` is "" where none was known."""

    by: tuple[BalanceOf, ...]


class Lives:
    """Answers a source about what it may see: its pixels' conversions, and its own balance."""

    def __init__(self, *, records: Records, destinations: Mapping[str, Destination]) -> None:
        self._records = records
        self._destinations = destinations

    async def life(
        self, source: Source, *, pixel: str, conversion_id: str, event: str | None
    ) -> Answer:
        """Answer with the latest life under this id, the others beside it. Raises Refused (404).

        `event` narrows it to one event: our name of it, or X's id.
        """
        destination = self._destinations.get(pixel)
        if destination is None or pixel not in source.pixels:
            raise Refused(_UNKNOWN)
        events = (
            tuple(dict.fromkeys(destination.events.values()))
            if event is None
            else (destination.events.get(event, event),)
        )
        lives = await self._records.life(pixel=pixel, events=events, conversion_id=conversion_id)
        if not lives:
            raise Refused(_UNKNOWN)
        latest, *others = sorted(lives, key=lambda life: life.received_at, reverse=True)
        found: ToldLife = msgspec.structs.replace(
            _told(latest), others=tuple(_told(one) for one in others)
        )
        return Answer(status=200, body=_ENCODER.encode(found))

    async def balance(self, source: Source) -> Answer:
        """Answer with the source's own balance."""
        accounts = [one for one in await self._records.accounts() if one.source == source.name]
        return Answer(status=200, body=_ENCODER.encode(balance_of(accounts)))


def balance_of(accounts: Sequence[Account]) -> BalanceBy:
    """Add accounts up, and keep them beside the sum."""
    return BalanceBy(
        **_sums(total(accounts)),
        by=tuple(BalanceOf(source=one.source, pixel=one.pixel, **_sums(one)) for one in accounts),
    )


def _sums(account: Account) -> dict[str, int]:
    return {name: getattr(account, name) for name in Balance.__struct_fields__}


def _told(life: Life) -> ToldLife:
    return ToldLife(
        pixel=life.pixel,
        event=life.event,
        conversion_id=life.conversion_id,
        state=life.state,
        source=life.source,
        receipt=life.receipt,
        received_at=spelled(life.received_at),
        deadline_at=spelled(life.deadline_at),
        sent=msgspec.Raw(life.sent),
        attempts=tuple(
            TriedOnce(
                at=spelled(attempt.at),
                outcome=attempt.outcome,
                status=attempt.status,
                answer=attempt.answer,
                ambiguous=attempt.ambiguous,
            )
            for attempt in life.attempts
        ),
        duplicates=life.duplicates,
        reason=life.reason,
        due_at=None if life.due_at is None else spelled(life.due_at),
    )


_UNKNOWN: Final = error(404, "conversion_unknown")
_ENCODER: Final = msgspec.json.Encoder()
