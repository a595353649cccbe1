"""Decode yes/no signals: gpc, npa, gdpr_applies."""

from typing import Final

from twite.consent.malformed import MalformedSignal

_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"0", "false", "no"})


def decode(word: str | bool) -> bool | MalformedSignal:  # noqa: FBT001  as a submission states it
    """Read a flag."""
    text = str(word).strip().lower()
    if text in _YES:
        return True
    return False if text in _NO else MalformedSignal(why="neither yes nor no")
