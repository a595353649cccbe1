"""A choice by itself, without a conversion: is it a no, a yes, or neither?"""

from twite.consent.statements import ConsentStatus, Purpose, Signals, statements
from twite.domain.consent import ConsentPolicy

_DECIDING = frozenset({Purpose.STORAGE, Purpose.USER_DATA, Purpose.SALE})


def revokes(signals: Signals, policy: ConsentPolicy, *, now: int) -> bool | None:
    """Return whether the signals take consent back (True) or give it (False).

    None where they do neither, or where one of them cannot be read.
    """
    said = statements(signals, policy, now=now)
    deciding = {one.word for one in said if one.matter in _DECIDING}
    if ConsentStatus.DENIED in deciding:
        return True
    if (
        any(one.word is ConsentStatus.UNCLEAR for one in said)
        or ConsentStatus.GRANTED not in deciding
    ):
        return None
    return False
