"""Bisect a refused batch: find the bad conversions, and deliver the rest.

X refuses a whole request because of one bad conversion, and does not name its index; it only echoes
the value [doc WEB]. The bisect first looks for echoed values, and otherwise halves the batch. One
bad conversion in 500 costs 18 more requests by halving, 2 by matching.

A batch that fails (5xx, no answer) while X accepts others is split, too. A failure can take half a
minute, so it matters more to have few failures than few requests: the batch is cut into groups of
about the square root of its size, and the deliveries of a group that fails, or is likely to fail,
are sent one by one.

Halving goes depth first, so that some deliveries are settled before the budget is used up. If a
large share of the tried conversions is bad, the rest are tried one by one.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from math import isqrt
from typing import Final, Self

import msgspec

from twite.domain.blame.batch_size import bytes_too_large
from twite.domain.blame.rejection_stats import kind_of
from twite.domain.delivery import Delivery, Group
from twite.domain.outcome import (
    Delivered,
    Errored,
    Outcome,
    Rejected,
    RejectionScope,
    XComplaint,
    is_unexplained,
)

# The most requests per bisect; the rest waits for the next bisect, because one pixel's errors must
# not use up the account's rate limit.
BUDGET: Final = 64
# After this many identical refusals in a row without an acceptance, the account may be at fault.
ALIKE: Final = 10
# Before Twite blames the account, it tries this many more conversions alone, spread over the rest.
CONTROLS: Final = 5
# The same numbers for refusals that do not mention conversions (401, HTML): lower, to spare X.
ALIKE_UNEXPLAINED: Final = 3
# Stop after this many failed groups in a row: X itself may be down.
STUCK: Final = 10
# The deliveries of a failed group of at most this size are sent one by one.
_FEW: Final = 25
# A group is also sent one by one if it is more likely to fail than this.
_LIKELY: Final = 0.5
# Above this share of bad conversions, single requests cost less than halving. At least _TELLING
# results must be known.
_BAD_SHARE: Final = 0.3
_TELLING: Final = 8

Refused = tuple[Delivery, Rejected]


class Bisect(msgspec.Struct, frozen=True, kw_only=True):
    """The untried groups of one batch, on a stack, and what X answered to the tried ones.

    `why` is the outcome that is bisected. `cleared` contains the ids of deliveries that were held
    until X accepted others of their event: if X refuses them again, this is not evidence about the
    account. `row` are those of `refused` that were refused since X last accepted a group.
    `is_suspected`: X has accepted others since a delivery of the batch became a suspect.
    `is_known`: this, or an earlier bisect did not reach a delivery of the batch, because X accepted
    a part.
    """

    why: Rejected | Errored
    budget: int
    cleared: AbstractSet[int] = frozenset()
    is_suspected: bool = False
    is_known: bool = False
    stack: tuple[Group, ...] = ()
    tries: int = 0
    taken: int = 0
    failed_alone: int = 0
    failed_in_row: int = 0
    is_doubted: bool = False
    refused: tuple[Refused, ...] = ()
    row: tuple[Refused, ...] = ()
    sizes_too_large: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        batch: Group,
        why: Rejected | Errored,
        cleared: AbstractSet[int] = frozenset(),
        *,
        is_suspected: bool = False,
        is_known: bool = False,
    ) -> Self:
        # Splitting after failures sends each delivery two or three times, so BUDGET does not limit
        # it.
        return cls(
            why=why,
            budget=BUDGET if isinstance(why, Rejected) else 3 * len(batch),
            cleared=cleared,
            is_suspected=is_suspected,
            is_known=is_known,
        ).split(batch, why)

    @property
    def is_over(self) -> bool:
        """Whether no group is left, the budget is used up, or the account or X is at fault."""
        is_used_up = self.tries >= self.budget or self.failed_in_row >= STUCK
        return not self.stack or is_used_up or self.is_the_account

    def next(self) -> tuple[Self, Group]:
        """Return the deliveries to send next, if the bisect is not over."""
        *others, group = self.stack
        if self._likely_fails(group):
            others += _one_by_one(group)
            group = others.pop()
        return msgspec.structs.replace(self, stack=tuple(others), tries=self.tries + 1), group

    def answered(self, group: Group, outcome: Outcome) -> Self:
        """Record what X answered to a group. A refused or failed group is split.

        If a refused group is a single delivery, that one is bad.
        """
        match outcome:
            case Delivered():
                return msgspec.structs.replace(
                    self, taken=self.taken + len(group), failed_in_row=0, row=(), is_doubted=False
                )
            case Errored():
                failed = msgspec.structs.replace(self, failed_in_row=self.failed_in_row + 1)
                if len(group) > 1:
                    return failed.split(group, outcome)
                return msgspec.structs.replace(failed, failed_alone=self.failed_alone + 1)
            case Rejected() if len(group) > 1:
                return self.split(group, outcome)
            case Rejected():
                found = (group[0], outcome)
                bisect = msgspec.structs.replace(
                    self, refused=(*self.refused, found), row=(*self.row, found)
                )
                may_doubt = bisect.all_alike(bisect.alike[0]) and not self.is_doubted
                return bisect.try_controls() if may_doubt else bisect

    @property
    def rest(self) -> Group:
        """The untried deliveries."""
        return tuple(delivery for group in self.stack for delivery in group)

    @property
    def too_large(self) -> int | None:
        """The size of the smallest group that X refused for its size.

        None if a conversion is at fault.
        """
        return None if self.refused else min(self.sizes_too_large, default=None)

    @property
    def is_the_account(self) -> bool:
        """Whether X refused many single deliveries in a row with the same error.

        Earlier acceptances do not count, because X may have started to refuse everything since
        then. They do count for refusals that do not mention conversions: see `learn`.
        """
        return self.all_alike(sum(self.alike))

    @property
    def alike(self) -> tuple[int, int]:
        """How many identical refusals raise a doubt, and how many more are then tried alone."""
        if is_unexplained(self.why):
            return ALIKE_UNEXPLAINED, ALIKE_UNEXPLAINED
        return ALIKE, CONTROLS

    @property
    def _is_mostly_bad(self) -> bool:
        """Whether sending each conversion alone takes fewer requests than halving."""
        known = self.taken + len(self.refused)
        return known >= _TELLING and len(self.refused) > _BAD_SHARE * known

    def _likely_fails(self, group: Group) -> bool:
        """Whether a group is likely to fail, judging by how many deliveries failed alone so far."""
        known = self.taken + self.failed_alone
        if known < _TELLING or not self.failed_alone:
            return False
        return (self.taken / known) ** len(group) < 1 - _LIKELY

    def all_alike(self, many: int) -> bool:
        """Whether X refused at least so many in a row, all with the same error."""
        if self.taken and is_unexplained(self.why):
            return False
        telling = [refusal for delivery, refusal in self.row if delivery.id not in self.cleared]
        return (
            len(telling) >= many and len({kind_of(refusal.complaints) for refusal in telling}) == 1
        )

    def try_controls(self) -> Self:
        """Try some deliveries alone next, spread over the rest."""
        rest, (_, many) = self.rest, self.alike
        controls = rest[:: max(1, len(rest) // many)][:many]
        named = {control.id for control in controls}
        others = tuple(delivery for delivery in rest if delivery.id not in named)
        stack = (*filter(None, (others,)), *((control,) for control in controls))
        return msgspec.structs.replace(self, is_doubted=True, stack=stack)

    def split(self, group: Group, why: Rejected | Errored) -> Self:
        """Add the parts of a refused or failed group."""
        size = bytes_too_large(group, why)
        sizes = self.sizes_too_large if size is None else (*self.sizes_too_large, size)
        if isinstance(why, Errored):
            parts = _split_failed(group)
        elif echoed := _echoed(group, why.complaints):
            named = {delivery.id for delivery in echoed}
            others = tuple(delivery for delivery in group if delivery.id not in named)
            parts = (*((delivery,) for delivery in echoed), others)
        elif self._is_mostly_bad and why.scope is RejectionScope.CONVERSION:
            parts = _one_by_one(group)
        else:
            middle = len(group) // 2
            parts = (group[middle:], group[:middle])
        return msgspec.structs.replace(self, stack=(*self.stack, *parts), sizes_too_large=sizes)


def _one_by_one(group: Group) -> tuple[Group, ...]:
    return tuple((delivery,) for delivery in reversed(group))


def _split_failed(group: Group) -> tuple[Group, ...]:
    if len(group) <= _FEW:
        return _one_by_one(group)
    size = isqrt(len(group))
    starts = range(0, len(group), size)
    return tuple(group[start : start + size] for start in reversed(starts))


def _echoed(group: Group, complaints: Sequence[XComplaint]) -> tuple[Delivery, ...]:
    """Return the deliveries with an echoed value, if every error echoes a value of some delivery.

    If they are many, return none, because halving is then cheaper.
    """
    found: dict[int, Delivery] = {}
    for complaint in complaints:
        if complaint.echoed is None or not complaint.parameter:
            return ()
        # The field and its value as they appear in a body.
        value = msgspec.json.encode(complaint.echoed)
        quoted = b'"' + complaint.parameter.encode() + b'":' + value
        pointed = [delivery for delivery in group if quoted in delivery.body]
        if not pointed:
            return ()
        found.update((delivery.id, delivery) for delivery in pointed)
    if not 0 < len(found) <= max(1, len(group) // 8) or len(found) == len(group):
        return ()
    return tuple(found.values())
