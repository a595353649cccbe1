"""Count ignored items by day, source and reason, inside the running transaction."""

import sqlite3
from collections import Counter
from typing import Final

from twite.domain.ignored import MOST_NAMES, OTHER, IgnoredTally, named
from twite.domain.submission import Submission
from twite.domain.times import DAY
from twite.stores.sql.named import query
from twite.stores.sql.writer_session import WriterSession

# Day, source, endpoint, name, reason.
Tally = Counter[tuple[int, str, str, str, str]]

_NAMES: Final = ("day", "source", "endpoint", "name", "reason")


def note(tally: Tally, submission: Submission) -> None:
    """Count the ignored items of a submission."""
    day = submission.received_at // DAY
    for name, reason in named(submission):
        tally[day, submission.source, submission.endpoint.value, name, reason] += 1


def add(book: WriterSession, tally: Tally) -> None:
    """Add to the counts. If there are too many names, the latest are counted as OTHER."""
    for (day, source, endpoint, name, reason), times in tally.items():
        book.run(
            "count_ignored",
            day=day,
            source=source,
            door=endpoint,
            called=name,
            reason=reason,
            times=times,
            most=MOST_NAMES,
            other=OTHER,
        )


def ignored(connection: sqlite3.Connection, *, since: int) -> list[IgnoredTally]:
    """Return the counts since a day."""
    return [
        IgnoredTally(**dict(zip(_NAMES, row[:-1], strict=True)), times=row[-1])
        for row in connection.execute(query("ignored"), {"since": since}).fetchall()
    ]
