"""Alerts: read the backlog and deliveries that checks need, and store alerts and traffic."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.stats.backlog import BacklogHour
from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic
from twite.domain.times import HOUR, MINUTE
from twite.stores.sql.named import query
from twite.stores.sql.writer_session import WriterSession


def backlog(connection: sqlite3.Connection) -> list[BacklogHour]:
    """Return the pending deliveries by pixel and hour of rank."""
    return [
        BacklogHour(pixel=pixel, hour=hour, deliveries=deliveries, first=first, oldest=oldest)
        for pixel, hour, deliveries, first, oldest in connection.execute(
            query("backlog"), {"hour": HOUR}
        )
    ]


def delivered(connection: sqlite3.Connection, *, since: int) -> dict[str, list[tuple[int, int]]]:
    """Return (time, conversions) delivered to X since a time, by pixel."""
    by_pixel: dict[str, list[tuple[int, int]]] = {}
    values = {"since": since, "minute": MINUTE}
    for pixel, at, many in connection.execute(query("delivered_since"), values):
        by_pixel.setdefault(pixel, []).append((at, many))
    return by_pixel


def alerts(connection: sqlite3.Connection) -> list[Alert]:
    """Return those that are open, or over and not told yet.

    One of a kind that only another version of Twite knows is left to that version.
    """
    return [
        Alert(
            id=id_,
            kind=AlertKind(kind),
            subject=subject,
            reason=reason,
            opened_at=opened_at,
            said_at=said_at,
            news=None if news is None else AlertPhase(news),
            resolved_at=resolved_at,
        )
        for id_, kind, subject, reason, opened_at, said_at, news, resolved_at in connection.execute(
            query("alerts")
        )
        if kind in _KINDS and news in _NEWS
    ]


def hours(connection: sqlite3.Connection) -> list[HourlyTraffic]:
    """Return when something came, by source."""
    return [
        HourlyTraffic(**dict(zip(HourlyTraffic.__struct_fields__, row, strict=True)))
        for row in connection.execute(query("traffic"))
    ]


def keep(book: WriterSession, kept: Sequence[Alert], *, gone: Sequence[str]) -> None:
    """Write alerts down, and forget others."""
    for alert in kept:
        book.run(
            "keep_alert",
            id=alert.id,
            kind=alert.kind.value,
            subject=alert.subject,
            reason=alert.reason,
            opened_at=alert.opened_at,
            said_at=alert.said_at,
            news=None if alert.news is None else alert.news.value,
            resolved_at=alert.resolved_at,
        )
    for id_ in gone:
        book.run("forget_alert", id=id_)


def note(book: WriterSession, noted: Sequence[HourlyTraffic]) -> None:
    """Write hours down, and forget those that are of no more use."""
    for traffic in noted:
        book.run(
            "note_traffic",
            source=traffic.source,
            hour=traffic.hour,
            count=traffic.count,
            first_at=traffic.first_at,
            last_at=traffic.last_at,
            received=traffic.received,
        )
        book.run("forget_traffic", source=traffic.source, before=traffic.hour - KEPT_HOURS)


_KINDS: Final = frozenset(kind.value for kind in AlertKind)
_NEWS: Final = frozenset({None, *(phase.value for phase in AlertPhase)})
