"""Deduplication of past conversions under other settings, by the rule of the stores.

It is assumed that X accepted each conversion before its next copy arrived in another request, and
that nobody has decided about held ones.
"""

from typing import Final

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.submission import AcceptedConversion
from twite.domain.times import DAY
from twite.gateway.ports.copies import CopyOutcome, Holder, asks, rule

# The holder of a key is its unknown outcome.
_UNKNOWN: Final = -1


class PastCopies:
    """The dedup keys as they would be held. `window` is the dedup window in milliseconds."""

    def __init__(self, window: int) -> None:
        self._window = window
        # By key, the time of receipt of what X accepted; the whole holder if its state matters.
        self._sent: dict[bytes, int] = {}
        self._others: dict[bytes, Holder] = {}
        # By key, when it became unknown whether another conversion, perhaps a denied one, took it
        # from its holder. Until the holder's window ends, copies are duplicates of either.
        self._perhaps_taken: dict[bytes, int] = {}
        # Keys that the current request has taken.
        self._taken: dict[bytes, int] = {}
        self._pruned_at = 0

    def knows(self, key: bytes, *, at: int) -> bool:
        """Return whether it is known who holds a key at a time, if anybody does."""
        if self._sent.get(key) == _UNKNOWN:
            return False
        taken_at = self._perhaps_taken.get(key)
        is_recent = taken_at is not None and taken_at >= at - self._window
        return not is_recent or self._holder(key, at=at) is not None

    def holds(self, key: bytes, *, at: int) -> bool:
        """Return whether a conversion holds a key at a time."""
        return self._holder(key, at=at) is not None

    def has_sent(self, key: bytes, *, at: int) -> bool:
        """Return whether X has accepted the conversion that holds a key at a time."""
        holder = self._holder(key, at=at)
        return holder is not None and holder.state in {State.QUEUED, State.DELIVERED}

    def is_final(self, key: bytes, *, at: int) -> bool:
        """Return whether every copy that is not denied is a duplicate, and changes nothing."""
        holder = self._holder(key, at=at)
        return holder is not None and holder.state in {State.DELIVERED, State.SUPPRESSED}

    def confuse(self, key: bytes, *, at: int, is_held: bool = False) -> None:
        """Record that it is unknown whether a conversion holds a key, unless another one does.

        If `is_held`, the one that does is unknown, too.
        """
        if is_held or self._holder(key, at=at) is None:
            self._others.pop(key, None)
            self._sent[key] = _UNKNOWN
        else:
            self._perhaps_taken[key] = at

    def take(
        self, conversion: AcceptedConversion, *, at: int
    ) -> tuple[bool, str | None, DeliveryCause | None]:
        """Give a conversion its key.

        Return whether it takes it, and otherwise is a duplicate, and why it is held, if it is.
        """
        if not asks(conversion):
            return True, None, None
        key, held, cause = conversion.key, conversion.held, conversion.cause
        holder = self._holder(key, at=at)
        if holder is not None:
            decision = rule(conversion, holder, at=at)
            if not decision.takes:
                self._change(key, holder, decision.outcome, decision.cause, decision.reason)
                return False, None, None
            if decision.held is not None and conversion.suppressed is None:
                held, cause = decision.held, decision.held_cause
        self._put(key, conversion, held, cause, at=at)
        return True, held, cause

    def end_request(self, *, at: int) -> None:
        """Record that X has accepted what the request queued."""
        for key, received_at in self._taken.items():
            holder = self._others.get(key)
            if holder is not None and holder.state is State.QUEUED:
                del self._others[key]
                self._sent[key] = received_at
        self._taken.clear()
        if at - self._pruned_at > DAY:
            self._pruned_at, since = at, at - self._window
            self._sent = {
                key: taken for key, taken in self._sent.items() if taken >= since or taken < 0
            }
            self._perhaps_taken = {
                key: taken for key, taken in self._perhaps_taken.items() if taken >= since
            }

    def _holder(self, key: bytes, *, at: int) -> Holder | None:
        holder = self._others.get(key)
        if holder is not None:
            is_recent = holder.received_at >= at - self._window
            is_live = is_recent or holder.state in {State.QUEUED, State.HELD}
            return holder if is_live else None
        sent_at = self._sent.get(key)
        if sent_at is None or sent_at < at - self._window:
            return None
        return Holder(state=State.DELIVERED, is_live=True, received_at=sent_at)

    def _change(
        self,
        key: bytes,
        holder: Holder,
        outcome: CopyOutcome,
        cause: DeliveryCause | None,
        reason: str,
    ) -> None:
        if outcome is CopyOutcome.STAYS or holder.state is State.DELIVERED:
            return
        state = State.SUPPRESSED if outcome is CopyOutcome.WITHDRAWN else State.HELD
        self._others[key] = Holder(
            state=state,
            is_live=True,
            received_at=holder.received_at,
            body=holder.body,
            evidence=holder.evidence,
            cause=cause,
            reason=reason,
        )

    def _put(
        self,
        key: bytes,
        conversion: AcceptedConversion,
        held: str | None,
        cause: DeliveryCause | None,
        *,
        at: int,
    ) -> None:
        self._sent.pop(key, None)
        self._perhaps_taken.pop(key, None)
        if conversion.suppressed is not None:
            state = State.SUPPRESSED
        else:
            state = State.QUEUED if held is None else State.HELD
        self._taken[key] = at
        self._others[key] = Holder(
            state=state,
            is_live=True,
            received_at=at,
            body=conversion.body,
            evidence=conversion.consent,
            cause=cause,
            reason=held,
        )
