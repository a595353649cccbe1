"""Repeat the consent decision for queued conversions after a policy change."""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.consent.evidence import Evidence, read
from twite.consent.statements import ConsentStatus, Purpose, Statement
from twite.consent.verdict import decide, is_strict
from twite.domain.consent import ConsentAction, ConsentDecision, ConsentPolicy, policy_version

# These parts of reading an IAB string depend on the policy; only the string's hash is stored.
_OF_THE_IAB: Final = frozenset({"tcf", "gpp tcfeu", "gpp", "ac", "vendors"})
_NOTHING: Final = Evidence(action="send", rule="nothing_said", policy="")


def again(kept: bytes | None, policy: ConsentPolicy) -> ConsentDecision | None:
    """Return the new action for a delivery, suppress or hold; None if it may stay.

    `kept` is the evidence of the first decision, None without signals. The rendered body is never
    changed: if the new policy would strip or restrict it, it is suppressed.
    """
    try:
        before = _NOTHING if kept is None else read(kept)
    except msgspec.DecodeError:
        return ConsentDecision(
            action=ConsentAction.HOLD, rule="unclear", reason="consent_unclear: the evidence"
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


def _reads_alike(before: Evidence, policy: ConsentPolicy) -> bool:
    return before.policy.partition(".")[2] == policy_version(policy).partition(".")[2]


def _unread(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """Return the statements without unreadable strings, which may be denials."""
    return tuple(
        Statement(Purpose.ANY, ConsentStatus.UNCLEAR, statement.signal, statement.signal)
        if statement.signal in _OF_THE_IAB
        else statement
        for statement in statements
    )
