"""The backlog and what was delivered, which alerts and forecasts are made of."""

import sqlite3

from twite.domain.stats.backlog import BacklogHour
from twite.domain.times import HOUR, MINUTE
from twite.stores.sql.named import query


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
