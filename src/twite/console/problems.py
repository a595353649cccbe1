"""Problems: refused, held and rejected conversions and unusual amounts, grouped by cause."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final

import msgspec

from twite.console.remedies import NOBODY, Remedy, remedy_of, remedy_of_amount, remedy_of_code
from twite.domain.alert import Mute
from twite.domain.conversion import shown_amount
from twite.domain.delivery import State
from twite.domain.stats.value_guard import UnusualAmount
from twite.domain.submission import Rejection
from twite.domain.times import DAY
from twite.gateway.operations.problem_keys import key_from, key_of
from twite.gateway.ports.queries import COUNTED, ErrorDetails, ErrorGroup, FlaggedAmount
from twite.gateway.ports.tags import PREFIX

# Of how many groups of a problem the days are counted.
MOST_DETAILED: Final = 40


class ProblemKind(StrEnum):
    REFUSED = "refused"
    HELD = "held"
    REJECTED = "rejected"
    AMOUNT = "amount"


TITLES: Final[Mapping[ProblemKind, str]] = {
    ProblemKind.REFUSED: "Refused by X",
    ProblemKind.HELD: "Held",
    ProblemKind.REJECTED: "Rejected at intake",
    ProblemKind.AMOUNT: "Unusual amount, sent",
}


# What a time range of problems limits.
TIME_LABELS: Final[Mapping[str, str]] = {
    "": "Last refused or held",
    ProblemKind.REFUSED: "Last refused",
    ProblemKind.HELD: "Last held",
    ProblemKind.REJECTED: "Received",
    ProblemKind.AMOUNT: "Received",
}
# Refused and held conversions wait for a user, rejected ones for the sender; amounts were sent.
_TURNS: Final[Mapping[ProblemKind, int]] = {
    ProblemKind.REFUSED: 0,
    ProblemKind.HELD: 0,
    ProblemKind.REJECTED: 1,
    ProblemKind.AMOUNT: 2,
}


class ListedProblem(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions with one cause.

    `key` is stable; `about` says more, such as X's words; `days` counts them by day of the viewer's
    zone, and `trend` has the last days; `groups` are those of dead and held deliveries, `code` and
    `first_fault` those of rejections.
    """

    key: str
    kind: ProblemKind
    remedy: Remedy
    about: str
    count: int
    first_at: int
    last_at: int
    pixels: tuple[str, ...]
    sources: tuple[str, ...] = ()
    days: Mapping[int, int] = {}
    groups: tuple[ErrorGroup, ...] = ()
    code: str = ""
    first_fault: tuple[str, str] | None = None
    amounts: tuple[FlaggedAmount, ...] = ()
    trend: tuple[int, ...] = ()
    is_capped: bool = False
    mute: Mute | None = None

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def tone(self) -> str:
        return "bad" if self.kind in {ProblemKind.REFUSED, ProblemKind.REJECTED} else "warn"

    @property
    def urgency(self) -> tuple[int, int]:
        """The place in the list: whose turn it is, then how many."""
        turn = 3 if self.remedy.waits_for == NOBODY else _TURNS[self.kind]
        return turn, -self.count

    @property
    def is_counted(self) -> bool:
        """Whether `days` count all conversions of the last days."""
        return not self.is_capped and len(self.groups) <= MOST_DETAILED

    @property
    def is_of_tags(self) -> bool:
        return any(group.pixel.startswith(PREFIX) for group in self.groups)


def of_groups(groups: Iterable[ErrorGroup]) -> list[ListedProblem]:
    """Group error groups by cause; X's refusals also by its words, without echoed values."""
    grouped: dict[str, list[ErrorGroup]] = {}
    for group in groups:
        grouped.setdefault(key_of(group), []).append(group)
    return [_of_some(key, some) for key, some in grouped.items()]


def detailed(problem: ListedProblem, details: Sequence[ErrorDetails]) -> ListedProblem:
    """Return a problem with the remedy that its first delivery suggests, and with its days."""
    days: dict[int, int] = {}
    for each in details:
        for day, count in each.days.items():
            days[day] = days.get(day, 0) + count
    sample = next((each.history for each in details if each.history is not None), None)
    largest = problem.groups[0]
    remedy = remedy_of(largest.cause, largest.state, sample)
    return msgspec.structs.replace(problem, days=days, remedy=remedy)


def of_rejections(rejections: Sequence[Rejection], *, offset: int) -> list[ListedProblem]:
    """Group rejections by the code and the field of the first fault."""
    grouped: dict[tuple[str, str], list[Rejection]] = {}
    for rejection in rejections:
        grouped.setdefault(rejection.first_fault, []).append(rejection)
    return [
        ListedProblem(
            key=key_from(ProblemKind.REJECTED, code, path),
            kind=ProblemKind.REJECTED,
            remedy=remedy_of_code(code),
            about=f"{code}: {path}" if path else code,
            count=len(some),
            first_at=min(each.at for each in some),
            last_at=max(each.at for each in some),
            pixels=_distinct(each.pixel for each in some),
            sources=_distinct(each.source for each in some),
            days=_days((each.at for each in some), offset),
            code=code,
            first_fault=(code, path),
        )
        for (code, path), some in grouped.items()
    ]


def of_amounts(amounts: Sequence[FlaggedAmount], *, offset: int) -> list[ListedProblem]:
    """Group unusual amounts by kind and currency."""
    grouped: dict[tuple[str, str], list[FlaggedAmount]] = {}
    for amount in amounts:
        grouped.setdefault((amount.kind, amount.currency), []).append(amount)
    return [
        ListedProblem(
            key=key_from(ProblemKind.AMOUNT, *key),
            kind=ProblemKind.AMOUNT,
            remedy=remedy_of_amount(key[0]),
            about=_about_amounts(some),
            count=len(some),
            first_at=min(amount.received_at for amount in some),
            last_at=max(amount.received_at for amount in some),
            pixels=_distinct(amount.pixel for amount in some),
            days=_days((amount.received_at for amount in some), offset),
            code=key[0],
            amounts=tuple(some),
        )
        for key, some in grouped.items()
    ]


def factor_of(amount: FlaggedAmount) -> str:
    """Return how many times the usual amount it is, such as "12 times"; "" if unknown.

    Amounts in another currency than usual cannot be compared.
    """
    usual, _, currency = amount.usual.partition(" ")
    if currency != amount.currency:
        return ""
    try:
        value, whole = Decimal(amount.value), Decimal(usual)
    except InvalidOperation:
        return ""
    if not value or not whole:
        return ""
    if value >= whole:
        return f"{_rounded(value / whole)} times"
    return f"1/{_rounded(whole / value)}"


def _rounded(ratio: Decimal) -> str:
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}".removesuffix(".0")


def _about_amounts(amounts: Sequence[FlaggedAmount]) -> str:
    """Return the latest amount beside the usual one."""
    latest = amounts[0]
    value = f"{shown_amount(latest.value, latest.currency)} {latest.currency}"
    if latest.kind == UnusualAmount.CURRENCY:
        usual_currency = latest.usual.rpartition(" ")[2]
        return f"{latest.currency}, usually {usual_currency}"
    factor = factor_of(latest)
    said = f"about {factor} the usual {latest.usual}" if factor else f"usually {latest.usual}"
    return f"latest: {value}, {said}"


def _of_some(key: str, groups: Sequence[ErrorGroup]) -> ListedProblem:
    some = sorted(groups, key=lambda group: -group.deliveries)
    largest = some[0]
    return ListedProblem(
        key=key,
        kind=ProblemKind.REFUSED if largest.state is State.DEAD else ProblemKind.HELD,
        remedy=remedy_of(largest.cause, largest.state),
        about=largest.reason,
        count=sum(group.deliveries for group in some),
        first_at=min(group.first_at for group in some),
        last_at=max(group.last_at for group in some),
        pixels=_distinct(group.pixel for group in some),
        groups=tuple(some),
        is_capped=any(group.deliveries == COUNTED for group in some),
    )


def _days(times: Iterable[int], offset: int) -> dict[int, int]:
    days: dict[int, int] = {}
    for at in times:
        day = (at + offset) // DAY
        days[day] = days.get(day, 0) + 1
    return days


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text}))
