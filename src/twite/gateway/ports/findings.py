"""What the doctor finds."""

from enum import StrEnum

import msgspec


class CheckStatus(StrEnum):
    GREEN = "green"  # in order
    AMBER = "amber"  # works, and may hurt later
    RED = "red"  # conversions will not reach X, or may be lost


class CheckFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    `found` is the fact, `meaning` what follows from it, `cure` what to do. A green finding needs
    neither of the last two. `line` and `column` are where in the settings file it stands, counted
    from 1; 0 where that is not known.
    """

    topic: str
    light: CheckStatus
    found: str
    meaning: str = ""
    cure: str = ""
    line: int = 0
    column: int = 0


def green(topic: str, found: str) -> CheckFinding:
    return CheckFinding(topic=topic, light=CheckStatus.GREEN, found=found)


def amber(topic: str, found: str, meaning: str, cure: str) -> CheckFinding:
    return CheckFinding(
        topic=topic, light=CheckStatus.AMBER, found=found, meaning=meaning, cure=cure
    )


def red(topic: str, found: str, meaning: str, cure: str) -> CheckFinding:
    return CheckFinding(topic=topic, light=CheckStatus.RED, found=found, meaning=meaning, cure=cure)
