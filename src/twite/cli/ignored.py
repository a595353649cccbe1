"""What was ignored, as `twite accounting` shows it."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from twite.cli import printing
from twite.domain.submission import IgnoredTally
from twite.domain.times import DAY, spelled

_MOST_LINES: Final = 20
_COLUMNS: Final = ("source", "door", "event", "reason", "times")


def print_ignored(counted: Sequence[IgnoredTally]) -> None:
    """Print the most frequent, the days together; nothing where there are none."""
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for tally in counted:
        sums[tally.source, tally.endpoint, tally.name, tally.reason] += tally.times
    if not sums:
        return
    shown = sums.most_common(_MOST_LINES)
    rows: list[list[str | int]] = [
        [source, endpoint, name or "(none)", reason, times]
        for (source, endpoint, name, reason), times in shown
    ]
    if len(sums) > len(shown):
        left = sums.total() - sum(times for _, times in shown)
        rows.append(["…", "", f"{len(sums) - len(shown)} more", "", left])
    printing.print_table("Ignored in seven days", list(_COLUMNS), rows)


def ignored_as_json(counted: Sequence[IgnoredTally]) -> dict[str, object]:
    """Return what a program reads of it, under `ignored`; nothing where there are none."""
    rows = [
        {
            "day": spelled(tally.day * DAY)[:10],
            "source": tally.source,
            "door": tally.endpoint,
            "name": tally.name,
            "reason": tally.reason,
            "times": tally.times,
        }
        for tally in counted
    ]
    return {"ignored": rows} if rows else {}
