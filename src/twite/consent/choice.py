"""Classify consent signals without a conversion: revoked, given, or neither."""

from twite.consent.statements import ConsentStatus, Purpose, Signals, statements
from twite.domain.consent import ConsentPolicy

_DECIDING = frozenset({Purpose.STORAGE, Purpose.USER_DATA, Purpose.SALE})


def revokes(signals: Signals, policy: ConsentPolicy, *, now: int) -> bool | None:
    """Return whether the signals revoke consent (True) or give it (False).

    None if they do neither, or if one of them is unreadable.
    """
    said = statements(signals, policy, now=now)
    deciding = {statement.word for statement in said if statement.matter in _DECIDING}
    if ConsentStatus.DENIED in deciding:
        return True
    if (
        any(statement.word is ConsentStatus.UNCLEAR for statement in said)
        or ConsentStatus.GRANTED not in deciding
    ):
        return None
    return False
