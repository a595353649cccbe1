"""Changes of users and keys: one statement for what each changes, and the audit, or nothing.

The writer makes one after the other, each in one transaction: what is asked here is still so when
it is written.
"""

import sqlite3

from twite.domain.people import ApiKey, Deed, User
from twite.domain.staffing import (
    Added,
    Allowed,
    Change,
    ChangeOfOne,
    CodesBegun,
    CodesEnded,
    KeyMade,
    KeyRevoked,
    PasswordGiven,
    Removed,
    Upshot,
    ends_admin,
    spared,
)
from twite.gateway.vault import CODES
from twite.stores.sqlite import sealed_rows
from twite.stores.sqlite.book import Book
from twite.stores.sqlite.people_rows import listed, note, session, user


def changed(book: Book, change: Change, *, deed: Deed, warrant: bytes) -> Upshot:
    """Make a change and note it, or do neither."""
    if warrant and session(book.connection, digest=warrant) is None:
        return Upshot.OVER
    upshot = _made(book, change)
    if upshot is Upshot.DONE:
        note(book, deed)
    return upshot


def _made(book: Book, change: Change) -> Upshot:
    match change:
        case Added():
            return Upshot.DONE if _add(book, change.user) else Upshot.TAKEN
        case KeyMade():
            _keep_key(book, change.key)
            return Upshot.DONE
        case KeyRevoked():
            revoked = book.run("revoke_api_key", id=change.id, at=change.at).rowcount > 0
            return Upshot.DONE if revoked else Upshot.GONE
        case _:
            return _of_one(book, change)


def _of_one(book: Book, change: ChangeOfOne) -> Upshot:
    """Change one who is there, and end their sessions."""
    found = user(book.connection, name=change.name)
    if found is None:
        return Upshot.GONE
    if found.is_admin and ends_admin(change) and not _another_admin(book, change.name):
        return Upshot.LAST
    if not _run(book, change).rowcount:
        return Upshot.OTHERWISE
    book.run("end_sessions", user=change.name, but=spared(change))
    if isinstance(change, CodesEnded | Removed):
        sealed_rows.forget(book, CODES + change.name)
    return Upshot.DONE


def _run(book: Book, change: ChangeOfOne) -> sqlite3.Cursor:
    match change:
        case Removed():
            return book.run("remove_user", user=change.name)
        case Allowed():
            return book.run(
                "set_role",
                user=change.name,
                role=change.role.value,
                pixels=listed(change.pixels),
            )
        case PasswordGiven():
            return book.run(
                "set_password",
                user=change.name,
                password=change.password.reveal(),
                at=change.at,
                was=None if change.was is None else change.was.reveal(),
            )
        case CodesBegun():
            return book.run(
                "begin_codes",
                user=change.name,
                since=change.since,
                step=change.step,
                recovery=listed(change.recovery),
            )
        case CodesEnded():
            return book.run("end_codes", user=change.name)


def _another_admin(book: Book, name: str) -> bool:
    return bool(book.run("other_admin", user=name).fetchone()[0])


def _add(book: Book, added: User) -> bool:
    row = book.run(
        "add_user",
        user=added.name,
        role=added.role.value,
        pixels=listed(added.pixels),
        password=added.password.reveal(),
        created_at=added.created_at,
        password_at=added.password_at,
        code_since=added.code_since,
        code_step=added.code_step,
        recovery=listed(added.recovery),
    )
    return row.rowcount > 0


def _keep_key(book: Book, key: ApiKey) -> None:
    book.run(
        "keep_api_key",
        id=key.id,
        called=key.name,
        digest=key.digest,
        scopes=listed(sorted(key.scopes)),
        created_at=key.created_at,
        made_by=key.made_by,
        pixels=listed(key.pixels),
        revoked_at=key.revoked_at,
    )
