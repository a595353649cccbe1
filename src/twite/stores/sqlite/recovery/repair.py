"""Repair a rebuilt database: replace missing rows, hold doubtful deliveries, report losses."""

import sqlite3

from twite.domain.consent import is_denial
from twite.domain.dedup import dedup_key
from twite.domain.delivery import RECOVERED


def put_where_they_belong(new: sqlite3.Connection) -> None:
    """Give each conversion to the submission that brought it: its number says which that is."""
    new.execute("CREATE INDEX by_first ON submission (first, entries)")
    # Of two that begin at one number, the first brought nothing.
    new.execute(
        "UPDATE conversion SET submission = coalesce("
        "(SELECT CASE WHEN conversion.id < whose.first + whose.entries THEN whose.id END "
        "FROM submission AS whose WHERE whose.first <= conversion.id "
        "ORDER BY whose.first DESC, whose.entries DESC LIMIT 1), "
        "CASE WHEN submission IN (SELECT id FROM submission) THEN -id ELSE submission END) "
        "WHERE NOT EXISTS (SELECT 1 FROM submission AS said WHERE said.id = conversion.submission "
        "AND conversion.id >= said.first AND conversion.id < said.first + said.entries)"
    )
    new.execute("DROP INDEX by_first")


def stand_in_for_submissions(new: sqlite3.Connection, *, now: int) -> None:
    """Where a submission is lost and its conversions are not, something must stand for it."""
    new.execute(
        "INSERT INTO submission (id, receipt, source, door, received_at, first, entries, body) "
        "SELECT conversion.submission, 'recovered-' || conversion.submission, "
        "coalesce(max(account.source), 'recovered'), 'native', "
        "coalesce(min(outbox.received_at), ?), min(conversion.id), "
        "max(conversion.id) - min(conversion.id) + 1, x'' "
        "FROM conversion LEFT JOIN outbox ON outbox.id = conversion.id "
        "LEFT JOIN account ON account.id = outbox.account "
        "WHERE conversion.submission NOT IN (SELECT id FROM submission) "
        "GROUP BY conversion.submission",
        (now,),
    )


def hold_the_missing(new: sqlite3.Connection, *, now: int) -> None:
    """Hold conversions of which nobody knows whether they were sent."""
    new.execute(
        "INSERT INTO account (source, pixel) SELECT DISTINCT submission.source, lane.pixel "
        "FROM conversion JOIN submission ON submission.id = conversion.submission "
        "JOIN lane ON lane.id = conversion.lane WHERE true ON CONFLICT DO NOTHING"
    )
    new.execute(
        "INSERT INTO outbox (id, lane, account, received_at, state, rested_at, reason) "
        "SELECT conversion.id, conversion.lane, account.id, submission.received_at, 'held', ?, ? "
        "FROM conversion JOIN submission ON submission.id = conversion.submission "
        "JOIN lane ON lane.id = conversion.lane "
        "JOIN account ON account.source = submission.source AND account.pixel = lane.pixel "
        "WHERE conversion.suppressed IS NULL AND length(conversion.body) > 0 "
        "AND conversion.id NOT IN (SELECT id FROM outbox) "
        "AND conversion.id NOT IN (SELECT delivery FROM discarded) "
        "AND conversion.id NOT IN (SELECT delivery FROM attempted "
        "JOIN attempt ON attempt.id = attempt WHERE outcome = 'delivered')",
        (now, RECOVERED),
    )


def make_keys(new: sqlite3.Connection) -> None:
    """Make the dedup keys anew: they follow from the conversions."""
    taken: dict[bytes, int] = {}
    shown: set[tuple[bytes, int]] = set()
    for id_, pixel, event, conversion_id, suppressed in new.execute(
        "SELECT conversion.id, pixel, event, conversion_id, suppressed "
        "FROM conversion JOIN lane ON lane.id = lane ORDER BY conversion.id"
    ):
        key = dedup_key(pixel, event, conversion_id)
        if suppressed is not None:
            shown.add((key, id_))
        if suppressed is None or is_denial(suppressed):
            before = taken.get(key)
            if before is not None:
                shown.add((key, before))
            taken[key] = id_
    new.executemany("INSERT INTO dedup (key, delivery) VALUES (?, ?)", sorted(taken.items()))
    new.executemany("INSERT INTO suppression (key, delivery) VALUES (?, ?)", sorted(shown))


def make_balance(new: sqlite3.Connection) -> dict[str, int]:
    """Make received equal to all the rest; return what was lost, by account."""
    # The row of an account may be gone whose deliveries are there.
    new.execute(
        "INSERT OR IGNORE INTO account (id, source, pixel) SELECT DISTINCT outbox.account, "
        "coalesce(submission.source, 'recovered'), lane.pixel FROM outbox "
        "JOIN conversion ON conversion.id = outbox.id JOIN lane ON lane.id = outbox.lane "
        "LEFT JOIN submission ON submission.id = conversion.submission "
        "WHERE outbox.account NOT IN (SELECT id FROM account)"
    )
    lost: dict[str, int] = {}
    for row in new.execute(
        "SELECT id, source, pixel, received, delivered, duplicate, suppressed, rejected, "
        "(SELECT count(*) FROM outbox WHERE outbox.account = account.id) FROM account"
    ).fetchall():
        id_, source, pixel, received, delivered, *others = row
        missing = received - delivered - sum(others)
        if missing < 0:
            # Held for doubt, and counted as delivered: it is one or the other.
            delivered = max(0, delivered + missing)
        elif missing:
            lost[f"{source} → {pixel or 'no pixel'}"] = missing
        new.execute(
            "UPDATE account SET received = ?, delivered = ? WHERE id = ?",
            (delivered + sum(others), delivered, id_),
        )
    return lost
