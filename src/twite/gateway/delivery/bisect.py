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

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from math import isqrt
from typing import Final

import msgspec

from twite.domain.delivery import (
    MOST_BYTES,
    Delivery,
    Errored,
    Outcome,
    Rejected,
    RejectionScope,
    XComplaint,
)
from twite.gateway.delivery.groups import Group
from twite.x import spec

# After a failure, the size of the next batch is divided by this.
_FEWER: Final = 8
# A batch that X refuses as too large is halved down to this size.
_LEAST_BYTES: Final = 50_000

Kind = frozenset[tuple[str, str]]

# The most requests per bisect; the rest waits for the next bisect, because one pixel's errors must
# not use up the account's rate limit.
BUDGET: Final = 64
# After this many identical refusals in a row without an acceptance, the account may be at fault.
ALIKE: Final = 10
# Before Twite blames the account, it tries this many more conversions alone, spread over the rest.
CONTROLS: Final = 5

# The same numbers for refusals that do not mention conversions (401, HTML): lower, to spare X.
ALIKE_AS_SUCH: Final = 3
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

_ECHOED: Final = (
    re.compile(r"^\w+ \((.*)\) is not a valid SHA-256 hash$", re.DOTALL),
    re.compile(r'^Expected [^,]*, got "(.*)" for \w+$', re.DOTALL),
)


def kind_of(complaints: Iterable[XComplaint]) -> Kind:
    """Return the kind of a refusal: codes and parameters, without echoed values."""
    return frozenset((complaint.code, complaint.parameter) for complaint in complaints)


class Bisect:
    """The untried groups of one batch.

    `next` returns a group, `learn` records that it was refused. `cleared` contains the ids of
    deliveries that were held until X accepted others of their event: if X refuses them again, this
    is not evidence about the account.
    """

    def __init__(
        self, batch: Group, why: Rejected | Errored, cleared: AbstractSet[int] = frozenset()
    ) -> None:
        self._as_such = as_such = isinstance(why, Rejected) and why.scope in {
            RejectionScope.PIXEL,
            RejectionScope.UNCLEAR,
        }
        self._alike = ALIKE_AS_SUCH if as_such else ALIKE
        self._controls = ALIKE_AS_SUCH if as_such else CONTROLS
        self._stuck = 0
        # Splitting after failures sends each delivery two or three times, so this does not limit
        # it.
        self._budget = BUDGET if isinstance(why, Rejected) else 3 * len(batch)
        self._failed_alone = 0
        self._cleared = cleared
        self._stack: list[Group] = []
        self._tries = 0
        self._doubted = False
        self.taken = 0
        self._too_large: list[int] = []
        self.refused: list[tuple[Delivery, Rejected]] = []
        # Those of them that were refused since X last accepted a group.
        self.row: list[tuple[Delivery, Rejected]] = []
        self._split(batch, why)

    def next(self) -> Group | None:
        """Return the deliveries to send next; None if none are left or the budget is used up."""
        if not self._stack or self._tries >= self._budget or self._stuck >= STUCK:
            return None
        if self.is_the_account:
            return None
        self._tries += 1
        group = self._stack.pop()
        if self._likely_fails(group):
            self._one_by_one(group)
            group = self._stack.pop()
        return group

    def took(self, group: Group) -> None:
        self.taken += len(group)
        self._stuck = 0
        self.row.clear()
        self._doubted = False

    def failed(self, group: Group, error: Errored) -> None:
        self._stuck += 1
        if len(group) > 1:
            self._split(group, error)
        else:
            self._failed_alone += 1

    def learn(self, group: Group, refusal: Rejected) -> None:
        """Record that X refused a group.

        If the group is a single delivery, that one is bad; a larger group is split.
        """
        if len(group) > 1:
            self._split(group, refusal)
            return
        self.refused.append((group[0], refusal))
        self.row.append((group[0], refusal))
        if self._all_alike(self._alike) and not self._doubted:
            self._doubted = True
            self._try_controls()

    @property
    def too_large(self) -> int | None:
        """The size of the smallest group that X refused for its size.

        None if a conversion is at fault.
        """
        return None if self.refused else min(self._too_large, default=None)

    def give_up(self) -> Group:
        """Return the untried deliveries, and remove them from the bisect."""
        rest = tuple(delivery for group in self._stack for delivery in group)
        self._stack.clear()
        return rest

    @property
    def is_the_account(self) -> bool:
        """Whether X refused many single deliveries in a row with the same error.

        Earlier acceptances do not count, because X may have started to refuse everything since
        then. They do count for refusals that do not mention conversions: see Blame in
        gateway.delivery.settlement.
        """
        return self._all_alike(self._alike + self._controls)

    @property
    def _is_mostly_bad(self) -> bool:
        """Whether sending each conversion alone takes fewer requests than halving."""
        known = self.taken + len(self.refused)
        return known >= _TELLING and len(self.refused) > _BAD_SHARE * known

    def _likely_fails(self, group: Group) -> bool:
        """Whether a group is likely to fail, judging by how many deliveries failed alone so far."""
        known = self.taken + self._failed_alone
        if known < _TELLING or not self._failed_alone:
            return False
        return (self.taken / known) ** len(group) < 1 - _LIKELY

    def _one_by_one(self, group: Group) -> None:
        self._stack.extend((delivery,) for delivery in reversed(group))

    def _all_alike(self, many: int) -> bool:
        if self.taken and self._as_such:
            return False
        telling = [refusal for delivery, refusal in self.row if delivery.id not in self._cleared]
        return (
            len(telling) >= many and len({kind_of(refusal.complaints) for refusal in telling}) == 1
        )

    def _try_controls(self) -> None:
        rest = self.give_up()
        step = max(1, len(rest) // self._controls)
        controls = rest[::step][: self._controls]
        named = {control.id for control in controls}
        others = tuple(delivery for delivery in rest if delivery.id not in named)
        self._stack.extend(
            group for group in (others, *((control,) for control in controls)) if group
        )

    def _split(self, group: Group, why: Rejected | Errored) -> None:
        if isinstance(why, Errored):
            self._split_failed(group)
            return
        size = bytes_too_large(group, why)
        if size is not None:
            self._too_large.append(size)
        suspects = _suspects(group, why.complaints)
        if suspects:
            named = {suspect.id for suspect in suspects}
            self._stack.extend((suspect,) for suspect in suspects)
            self._stack.append(tuple(delivery for delivery in group if delivery.id not in named))
        elif self._is_mostly_bad and why.scope is RejectionScope.CONVERSION:
            self._one_by_one(group)
        else:
            middle = len(group) // 2
            self._stack.extend((group[middle:], group[:middle]))

    def _split_failed(self, group: Group) -> None:
        if len(group) <= _FEW:
            self._one_by_one(group)
            return
        size = isqrt(len(group))
        starts = range(0, len(group), size)
        self._stack.extend(group[start : start + size] for start in reversed(starts))


def _suspects(group: Group, complaints: Sequence[XComplaint]) -> tuple[Delivery, ...]:
    """Return the deliveries with an echoed value, if every error echoes a value of some delivery.

    If they are many, return none, because halving is then cheaper.
    """
    found: dict[int, Delivery] = {}
    for complaint in complaints:
        quoted = _quoted(complaint)
        if quoted is None:
            return ()
        pointed = [delivery for delivery in group if quoted in delivery.body]
        if not pointed:
            return ()
        found.update((delivery.id, delivery) for delivery in pointed)
    if not 0 < len(found) <= max(1, len(group) // 8) or len(found) == len(group):
        return ()
    return tuple(found.values())


def _quoted(complaint: XComplaint) -> bytes | None:
    """Return the echoed field and value as they appear in a JSON body; None if there is no echo."""
    for pattern in _ECHOED:
        echoed = pattern.match(complaint.message)
        if echoed is not None and complaint.parameter:
            value = msgspec.json.encode(echoed.group(1))
            return b'"' + complaint.parameter.encode() + b'":' + value
    return None


class BatchSize:
    """The size of the next batch.

    `most` shrinks while the rate limit is too low for a bisect, so that one bad batch does not use
    up every window, and grows again later. `most_bytes` only shrinks.
    """

    def __init__(self) -> None:
        self.most = spec.MAX_CONVERSIONS
        self.most_bytes = MOST_BYTES
        self._max_by_x = spec.MAX_CONVERSIONS

    def landed(self) -> None:
        self.most = min(self._max_by_x, self.most * 2)

    def limited(self, many: int) -> None:
        """Record that the rate limit was too low to bisect a batch of this size."""
        self.most = max(1, many // 2)

    def too_many(self, group: Group, why: Outcome) -> None:
        """Lower the number of conversions: to half if X refused it, or to an eighth if X failed."""
        if isinstance(why, Errored):
            self.most = min(self.most, max(1, len(group) // _FEWER))
        elif _is_size(why) and _counts(why):
            self._max_by_x = self.most = max(1, len(group) // 2)

    def too_large(self, smallest: int | None) -> None:
        """Halve the size limit, starting from the smallest request that X refused as too large."""
        if smallest is not None:
            self.most_bytes = min(self.most_bytes, max(_LEAST_BYTES, smallest // 2))


def bytes_too_large(group: Iterable[Delivery], outcome: Outcome) -> int | None:
    """Return the size of a request that X refused for its size, or None."""
    if not _is_size(outcome) or _counts(outcome):
        return None
    return sum(len(delivery.body) for delivery in group)


def _is_size(outcome: Outcome) -> bool:
    return isinstance(outcome, Rejected) and outcome.scope is RejectionScope.SIZE


def _counts(outcome: Outcome) -> bool:
    """Whether X refused the number of conversions."""
    return isinstance(outcome, Rejected) and any(
        complaint.message == spec.TOO_MANY_CONVERSIONS for complaint in outcome.complaints
    )
