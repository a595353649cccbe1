"""Copies: decide what happens to a new conversion whose dedup key is already recorded.

The stores call it in the transaction that records the copy.
"""

import re
from enum import StrEnum
from typing import Final

import msgspec

from twite.consent.verdict import Evidence, read_evidence
from twite.domain.cause import CONSENT_CAUSES, DENIALS, DeliveryCause
from twite.domain.delivery import MAYBE_ARRIVED, State
from twite.domain.fault import Fault
from twite.domain.submission import AcceptedConversion
from twite.domain.times import MINUTE, moment
from twite.gateway.ports.tags import PREFIX

CORRECTED: Final = "superseded: the same conversion arrived again with a different body"
RENEWED: Final = "superseded: the same conversion arrived again after the deduplication window"
LIMITED: Final = "superseded: the consent in a later copy allows less"
OTHER_BODY: Final = f"{MAYBE_ARRIVED}: X may have the earlier copy, which had a different body"
_RESTRICTED: Final = "restricted"
_UNLIMITED: Final = Evidence(action="send", rule="nothing_said", policy="")
# A conversion without a time gets the time of its receipt. The time read for this differs from
# `received_at` by less than this.
_AT_RECEIPT: Final = MINUTE
_TIME: Final = re.compile(rb'\{"conversion_time":"([^"]*)"')


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded conversion that has the dedup key.

    `state` is SUPPRESSED if it is not sent. `is_live` is whether the conversion is within the dedup
    window or may still be sent. `is_ambiguous` is whether X may have received it.
    """

    state: State
    is_live: bool
    received_at: int
    body: bytes = b""
    evidence: bytes | None = None
    cause: DeliveryCause | None = None
    reason: str | None = None
    is_ambiguous: bool = False


class CopyOutcome(StrEnum):
    """The effect on the holder of the key."""

    STAYS = "stays"
    WITHDRAWN = "withdrawn"  # not sent; a failed attempt in flight is not retried
    HELD = "held"


class CopyDecision(msgspec.Struct, frozen=True, kw_only=True):
    """If `takes` is true, the copy is stored and gets the key; otherwise it is a duplicate.

    `outcome`, `cause` and `reason` apply to the holder; `held` and `held_cause` are why the copy is
    held.
    """

    takes: bool
    outcome: CopyOutcome = CopyOutcome.STAYS
    cause: DeliveryCause | None = None
    reason: str = ""
    held: str | None = None
    held_cause: DeliveryCause | None = None


_DUPLICATE: Final = CopyDecision(takes=False)
_NEW: Final = CopyDecision(takes=True)


def rule(conversion: AcceptedConversion, holder: Holder, *, at: int) -> CopyDecision:
    """Decide about a copy (received at `at`) of a conversion that is already recorded."""
    if conversion.suppressed is not None:
        return CopyDecision(
            takes=True,
            outcome=CopyOutcome.WITHDRAWN,
            cause=conversion.cause,
            reason=by_later(conversion.suppressed),
        )
    if not holder.is_live:
        return _superseded(RENEWED) if holder.state is State.DEAD else _NEW
    if holder.state in {State.DELIVERED, State.SUPPRESSED}:
        return _DUPLICATE
    return _corrected(conversion, holder, at=at) or _allowing_less(conversion, holder) or _DUPLICATE


def _corrected(conversion: AcceptedConversion, holder: Holder, *, at: int) -> CopyDecision | None:
    """Replace a dead letter by a copy with another body, unless consent limits the copy less."""
    if holder.state is not State.DEAD:
        return None
    if said(conversion.body, at=at) == said(holder.body, at=holder.received_at):
        return None
    # A tag's vendor may have received part of it, so only a user may send it again.
    if conversion.pixel.startswith(PREFIX) or not limits_of(conversion.consent) >= limits_of(
        holder.evidence
    ):
        return None
    # X may have received it, so it is sent again only unchanged, with the same id.
    if holder.is_ambiguous:
        return _superseded(CORRECTED, held=OTHER_BODY, held_cause=DeliveryCause.MAY_COUNT_TWICE)
    return _superseded(CORRECTED)


def _allowing_less(conversion: AcceptedConversion, holder: Holder) -> CopyDecision | None:
    """Return the decision if the copy allows less than the unsent holder, else None."""
    mine, theirs = limits_of(conversion.consent), limits_of(holder.evidence)
    if not mine <= theirs:
        is_waiting = holder.state in {State.QUEUED, State.HELD}
        if is_waiting and mine >= theirs and not holder.is_ambiguous:
            return _superseded(LIMITED, held=holder.reason, held_cause=holder.cause)
        cause = DeliveryCause.CONSENT_LIMITED
        reason = by_later(_decided(conversion.consent).reason or cause.value)
        return CopyDecision(takes=False, outcome=CopyOutcome.WITHDRAWN, cause=cause, reason=reason)
    if (
        holder.state is State.QUEUED
        and conversion.held is not None
        and conversion.cause in CONSENT_CAUSES
    ):
        return CopyDecision(
            takes=False,
            outcome=CopyOutcome.HELD,
            cause=conversion.cause,
            reason=by_later(conversion.held),
        )
    return None


def _superseded(
    reason: str, *, held: str | None = None, held_cause: DeliveryCause | None = None
) -> CopyDecision:
    return CopyDecision(
        takes=True,
        outcome=CopyOutcome.WITHDRAWN,
        cause=DeliveryCause.SUPERSEDED,
        reason=reason,
        held=held,
        held_cause=held_cause,
    )


def said(body: bytes, *, at: int) -> bytes:
    """Return a body without its time if that is only the time of receipt (`at`).

    Otherwise, a repeated conversion that has no time of its own would count as a correction.
    """
    found = _TIME.match(body)
    if found is None:
        return body
    time = moment(found.group(1).decode("utf-8", "replace"), now=at, path="")
    if isinstance(time, Fault) or abs(time - at) > _AT_RECEIPT:
        return body
    return body[: found.start(1)] + body[found.end(1) :]


def asks(conversion: AcceptedConversion) -> bool:
    """Return whether a copy of a suppressed conversion gets the key.

    Missing consent is not a denial.
    """
    return conversion.suppressed is None or conversion.cause in DENIALS


def is_plain(conversion: AcceptedConversion) -> bool:
    """Return whether a copy changes nothing about the holder."""
    return conversion.suppressed is None and conversion.consent is None and conversion.held is None


def by_later(reason: str) -> str:
    return f"{reason}, according to a later copy"


def limits_of(kept: bytes | None) -> frozenset[str]:
    """Return what consent removed from a conversion, from the stored evidence."""
    decided = _decided(kept)
    return frozenset((*decided.strip, *((_RESTRICTED,) if decided.restricted else ())))


def _decided(kept: bytes | None) -> Evidence:
    """Return the evidence; if it is missing or unreadable, assume no limits by consent."""
    try:
        return _UNLIMITED if kept is None else read_evidence(kept)
    except msgspec.DecodeError:
        return _UNLIMITED
