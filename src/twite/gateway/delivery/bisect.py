"""Isolate: find the conversions for which X refuses a whole request, and send the rest.

X fails all of a request for one bad conversion and names no index; only the offending value is
echoed [doc WEB]. So: match echoed values first, else halve; every good half is delivered at once.
One bad conversion in 500 costs 18 more requests by halving, 2 by matching.

What X fails at (5xx, no answer) is looked for in the same way, once a batch fails again and again
while others pass: it says nothing of what is wrong, so it is halved.

Halving goes depth first. Breadth first, a batch with many bad ones spends the whole budget on
groups that each hold one, and ends where it began; depth first, each budget settles some. Where
most of what is known is bad, each is tried by itself.
"""

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from twite.domain.delivery import Delivery
from twite.domain.outcome import Errored, Rejected, RejectionScope, XComplaint
from twite.gateway.delivery.rejection_stats import kind_of

Group = tuple[Delivery, ...]

# More than this for one batch in one go, and the rest waits for the next: one pixel's trouble must
# not eat the account's limit.
BUDGET: Final = 64
# So many refused alike, and none taken: that may be the account, not the conversions.
ALIKE: Final = 10
# Before that is said, so many more are tried by themselves, from all over what is left.
CONTROLS: Final = 5

# The same where X, or something before it, refuses as such: fewer, for each is one more knock.
ALIKE_AS_SUCH: Final = 3
# So many groups failed one after the other, and no more is asked: halving five hundred down to one
# takes nine.
STUCK: Final = 10

# Beyond this share of bad ones halving costs more than trying each; so many must be known.
_BAD_SHARE: Final = 0.3
_TELLING: Final = 8

_ECHOED: Final = (
    re.compile(r"^\w+ \((.*)\) is not a valid SHA-256 hash$", re.DOTALL),
    re.compile(r'^Expected [^,]*, got "(.*)" for \w+$', re.DOTALL),
)


class Bisect:
    """What is left to try of one batch. Pure: `next` says what to send, `learn` hears of it.

    `mixed` are the ids of deliveries of which X took others of the same batch before. That they are
    refused says nothing of the account: what is left of a bad batch in the end is all bad.
    """

    def __init__(
        self, batch: Group, why: Rejected | Errored, mixed: AbstractSet[int] = frozenset()
    ) -> None:
        as_such = isinstance(why, Rejected) and why.scope in {
            RejectionScope.PIXEL,
            RejectionScope.UNCLEAR,
        }
        self._alike = ALIKE_AS_SUCH if as_such else ALIKE
        self._controls = ALIKE_AS_SUCH if as_such else CONTROLS
        self._stuck = 0
        self._mixed = mixed
        self._stack: list[Group] = []
        self._tries = 0
        self._doubted = False
        self.taken = 0
        self.refused: list[tuple[Delivery, Rejected]] = []
        self._split(batch, why)

    def next(self) -> Group | None:
        """Return the deliveries to send next, or None when there are none or the budget is out."""
        if not self._stack or self._tries >= BUDGET or self._stuck >= STUCK:
            return None
        if self.is_the_account:
            return None
        self._tries += 1
        return self._stack.pop()

    def took(self, group: Group) -> None:
        """Hear that X took a group."""
        self.taken += len(group)
        self._stuck = 0

    def failed(self, group: Group, error: Errored) -> None:
        """Hear that a group came to nothing."""
        self._stuck += 1
        if len(group) > 1:
            self._split(group, error)

    def learn(self, group: Group, refusal: Rejected) -> None:
        """Hear that X refused a group: one alone is found, more are split."""
        if len(group) > 1:
            self._split(group, refusal)
            return
        self.refused.append((group[0], refusal))
        if self._all_alike(self._alike) and not self._doubted:
            self._doubted = True
            self._try_controls()

    def give_up(self) -> Group:
        """Return all that was not tried, and forget it."""
        rest = tuple(delivery for group in self._stack for delivery in group)
        self._stack.clear()
        return rest

    @property
    def is_the_account(self) -> bool:
        """Whether each one tried by itself was refused alike, and many were, and none taken."""
        return self._all_alike(self._alike + self._controls)

    @property
    def _is_mostly_bad(self) -> bool:
        """Whether so many are bad that halving asks more than trying each."""
        known = self.taken + len(self.refused)
        return known >= _TELLING and len(self.refused) > _BAD_SHARE * known

    def _all_alike(self, many: int) -> bool:
        if self.taken:
            return False
        telling = [refusal for one, refusal in self.refused if one.id not in self._mixed]
        return len(telling) >= many and len({kind_of(one.complaints) for one in telling}) == 1

    def _try_controls(self) -> None:
        rest = self.give_up()
        step = max(1, len(rest) // self._controls)
        controls = rest[::step][: self._controls]
        named = {control.id for control in controls}
        others = tuple(one for one in rest if one.id not in named)
        self._stack.extend(
            group for group in (others, *((control,) for control in controls)) if group
        )

    def _split(self, group: Group, why: Rejected | Errored) -> None:
        suspects = _suspects(group, why.complaints) if isinstance(why, Rejected) else ()
        if suspects:
            named = {suspect.id for suspect in suspects}
            self._stack.extend((suspect,) for suspect in suspects)
            self._stack.append(tuple(one for one in group if one.id not in named))
        elif (
            self._is_mostly_bad
            and isinstance(why, Rejected)
            and why.scope is RejectionScope.CONVERSION
        ):
            self._stack.extend((one,) for one in reversed(group))
        else:
            middle = len(group) // 2
            self._stack.extend((group[middle:], group[:middle]))


def _suspects(group: Group, complaints: Sequence[XComplaint]) -> tuple[Delivery, ...]:
    """Return the deliveries that hold an echoed value, if every complaint points at some of them.

    Few must be left under suspicion, or halving is cheaper than trying each.
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
    """Return the field and echoed value as they stand in a body, or None without an echo."""
    for pattern in _ECHOED:
        echoed = pattern.match(complaint.message)
        if echoed is not None and complaint.parameter:
            value = msgspec.json.encode(echoed.group(1))
            return b'"' + complaint.parameter.encode() + b'":' + value
    return None
