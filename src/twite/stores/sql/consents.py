"""Consent: read decisions of queued deliveries, and the policy versions of sources."""

import sqlite3
from collections.abc import Sequence

import msgspec

from twite.gateway.ports.queries import DecidedDelivery
from twite.stores.sql.named import query
from twite.stores.sql.opt_outs import withdraw
from twite.stores.sql.writer_session import WriterSession


def policies(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the version of the policy by which each source's deliveries were decided."""
    return dict(connection.execute(query("policies")).fetchall())


def standing(
    connection: sqlite3.Connection, *, source: str, after: int, limit: int
) -> list[DecidedDelivery]:
    """Return deliveries of a source that may still be sent, by their ids."""
    wish = {"source": source, "after": after, "limit": limit}
    return [
        DecidedDelivery(
            delivery=delivery,
            pixel=pixel,
            evidence=None if evidence is None else bytes(evidence),
        )
        for delivery, pixel, evidence in connection.execute(query("standing"), wish).fetchall()
    ]


def note_policy(book: WriterSession, *, source: str, version: str) -> None:
    book.run("note_policy", source=source, version=version)


def take_back(
    book: WriterSession, deliveries: Sequence[int], *, reason: str, now: int, hold: bool
) -> int:
    """Suppress deliveries, or hold those that are queued; return how many it was."""
    if not hold:
        return withdraw(book.run, deliveries, now=now, reason=reason)
    ids = msgspec.json.encode(deliveries).decode()
    return book.run("hold_queued", deliveries=ids, now=now, reason=reason).rowcount
