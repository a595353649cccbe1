"""The results of diagnostic checks."""

from enum import StrEnum

import msgspec


class CheckStatus(StrEnum):
    GREEN = "green"  # passed
    AMBER = "amber"  # warning: works, but may cause problems later
    RED = "red"  # failed: conversions will not reach X, or may be lost


class CheckFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check.

    `found` is the fact, `meaning` the consequence, `fix` the remedy; a check that passed has only
    `found`. `line` and `column` are the place in the settings file, counted from 1; 0 if unknown.
    """

    topic: str
    light: CheckStatus
    found: str
    meaning: str = ""
    fix: str = ""
    line: int = 0
    column: int = 0


def green(topic: str, found: str) -> CheckFinding:
    return CheckFinding(topic=topic, light=CheckStatus.GREEN, found=found)


def amber(topic: str, found: str, meaning: str, fix: str) -> CheckFinding:
    return CheckFinding(topic=topic, light=CheckStatus.AMBER, found=found, meaning=meaning, fix=fix)


def red(topic: str, found: str, meaning: str, fix: str) -> CheckFinding:
    return CheckFinding(topic=topic, light=CheckStatus.RED, found=found, meaning=meaning, fix=fix)
