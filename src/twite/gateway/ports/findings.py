"""The results of diagnostic checks."""

from enum import StrEnum

import msgspec


class CheckStatus(StrEnum):
    PASSED = "passed"
    WARNING = "warning"  # works, but may cause problems later
    FAILED = "failed"  # conversions will not reach X, or may be lost


class CheckFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check.

    `found` is the fact, `meaning` the consequence, `fix` the remedy; a check that passed has only
    `found`. `line` and `column` are the place in the settings file, counted from 1; 0 if unknown.
    """

    topic: str
    status: CheckStatus
    found: str
    meaning: str = ""
    fix: str = ""
    line: int = 0
    column: int = 0


def passed(topic: str, found: str) -> CheckFinding:
    return CheckFinding(topic=topic, status=CheckStatus.PASSED, found=found)


def warning(topic: str, found: str, meaning: str, fix: str) -> CheckFinding:
    return CheckFinding(
        topic=topic, status=CheckStatus.WARNING, found=found, meaning=meaning, fix=fix
    )


def failed(topic: str, found: str, meaning: str, fix: str) -> CheckFinding:
    return CheckFinding(
        topic=topic, status=CheckStatus.FAILED, found=found, meaning=meaning, fix=fix
    )
