"""Sealed secrets by name. The store cannot open them."""

import sqlite3

from twite.stores.sql.named import query
from twite.stores.sql.writer_session import WriterSession


def put(book: WriterSession, called: str, sealed: bytes) -> None:
    """Keep one in place of any other of that name."""
    book.run("put_sealed", called=called, sealed=sealed)


def reseal(book: WriterSession, called: str, *, was: bytes, sealed: bytes) -> None:
    """Replace a secret if it still has its former value (compare and set)."""
    book.run("reseal", called=called, was=was, sealed=sealed)


def forget(book: WriterSession, called: str) -> None:
    """Keep one no more."""
    book.run("forget_sealed", called=called)


def sealed(connection: sqlite3.Connection, *, prefix: str) -> list[tuple[str, bytes]]:
    """Return those whose name begins so, in the order of the names."""
    # No name holds U+10FFFF: it comes after all of them.
    span = {"first": prefix, "beyond": prefix + "\U0010ffff"}
    return [
        (str(name), bytes(held))
        for name, held in connection.execute(query("sealed"), span).fetchall()
    ]
