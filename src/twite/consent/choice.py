"""A choice by itself, without a conversion: is it a no, a yes, or neither?"""

from twite.consent.statements import Matter, Signals, Word, statements
from twite.domain.consent import Policy

_DECIDING = frozenset({Matter.STORAGE, Matter.USER_DATA, Matter.SALE})


def revokes(signals: Signals, policy: Policy, *, now: int) -> bool | None:
    """Return whether the signals take consent back (True) or give it (False).

    None where they do neither, or where one of them cannot be read.
    """
    said = statements(signals, policy, now=now)
    deciding = {one.word for one in said if one.matter in _DECIDING}
    if Word.DENIED in deciding:
        return True
    if any(one.word is Word.UNCLEAR for one in said) or Word.GRANTED not in deciding:
        return None
    return False
