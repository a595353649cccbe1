"""Decide again by the record of a consent decision, under another policy.

A record has no string of the IAB, only its hash, and what it said under the policy of that time. If
another policy reads such strings differently, what they say under it is unknown.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.consent.statements import ConsentStatus, Purpose, Signals, Statement
from twite.consent.verdict import (
    HASHED,
    Evidence,
    decide,
    is_strict,
    not_sent,
    read_evidence,
    verdict,
)
from twite.domain.cause import DeliveryCause
from twite.domain.consent import (
    ConsentAction,
    ConsentDecision,
    ConsentPolicy,
    policy_version,
    stripped,
)
from twite.domain.conversion import Identifiers

_OF_THE_IAB: Final = HASHED | {"gpp tcfeu"}
_NOTHING: Final = Evidence(action="send", rule="nothing_said", policy="")
_ENCODER: Final = msgspec.json.Encoder()


def decide_again(kept: bytes | None, policy: ConsentPolicy) -> ConsentDecision | None:
    """Return the new action for a delivery, suppress or hold; None if the delivery may stay.

    `kept` is the evidence of the first decision, or None if there were no signals. The rendered
    body is never changed: if the new policy would strip or restrict the body, the delivery is
    suppressed.
    """
    try:
        before = _NOTHING if kept is None else read_evidence(kept)
    except msgspec.DecodeError:
        return ConsentDecision(
            action=ConsentAction.HOLD,
            rule="unclear",
            cause=DeliveryCause.CONSENT_UNCLEAR,
            reason="consent_unclear: the evidence",
        )
    if before.policy == policy_version(policy):
        return None
    statements = before.said if _reads_alike(before, policy) else _unread(before.said)
    found = decide(statements, policy, strict=is_strict(before.signals, policy))
    if found.action is ConsentAction.SUPPRESS:
        return found
    if found.action is ConsentAction.HOLD:
        return None if before.action == ConsentAction.HOLD else found
    if set(found.strip) - set(before.strip) or (found.restricted and not before.restricted):
        return msgspec.structs.replace(found, action=ConsentAction.SUPPRESS)
    return None


def verdict_again(
    evidence: Evidence, identifiers: Identifiers, *, policy: ConsentPolicy, now: int
) -> ConsentDecision | None:
    """Return what `verdict` would have decided under another policy at the time `now` (ms).

    None if that is unknown. A person who had revoked consent then is still one who had.
    """
    if evidence.policy == policy_version(policy):
        return _as_before(evidence)
    revoked = evidence.rule == "revoked"
    if revoked or not has_hashes(evidence.signals):
        return verdict(evidence.signals, identifiers, policy=policy, now=now, revoked=revoked)
    if not _reads_alike(evidence, policy):
        return None
    found = decide(evidence.said, policy, strict=is_strict(evidence.signals, policy))
    if found.strip and not stripped(identifiers, found.strip).suffice:
        found = not_sent(found, rule="nothing_left")
    again = msgspec.structs.replace(
        evidence,
        action=found.action.value,
        rule=found.rule,
        policy=policy_version(policy),
        reason=found.reason,
        strip=found.strip,
        restricted=found.restricted,
        cause=found.cause,
    )
    return msgspec.structs.replace(found, evidence=_ENCODER.encode(again), signals=evidence.signals)


def _as_before(evidence: Evidence) -> ConsentDecision:
    return ConsentDecision(
        action=ConsentAction(evidence.action),
        rule=evidence.rule,
        cause=evidence.cause,
        reason=evidence.reason,
        strip=evidence.strip,
        restricted=evidence.restricted,
        evidence=_ENCODER.encode(evidence),
        signals=evidence.signals or None,
    )


def has_hashes(kept: Signals) -> bool:
    """Return whether stored signals contain a hash in place of a string of the IAB."""
    return not HASHED.isdisjoint(name.strip().lower() for name in kept)


def _reads_alike(evidence: Evidence, policy: ConsentPolicy) -> bool:
    return evidence.policy.partition(".")[2] == policy_version(policy).partition(".")[2]


def _unread(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Return the statements; those from IAB strings become unclear, as they may be denials."""
    return tuple(
        Statement(Purpose.ANY, ConsentStatus.UNCLEAR, statement.signal, statement.signal)
        if statement.signal in _OF_THE_IAB
        else statement
        for statement in statements
    )
