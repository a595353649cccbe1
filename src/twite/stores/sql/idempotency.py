"""Idempotency keys: look up and store them inside the running transaction."""

from twite.domain.submission import Submission
from twite.stores.sql.writer_session import WriterSession


def conflicts(book: WriterSession, submission: Submission) -> bool:
    """Return whether another request goes by its name; note the name where it is new.

    A name is remembered as long as a dedup key: a few that are older go with each new one.
    """
    name = submission.idempotency
    if name is None:
        return False
    before = submission.received_at - book.keys.window
    found = book.run("request_named", key=name.key, before=before).fetchone()
    if found is not None:
        return bool(found[0] != name.said)
    book.run("forget_request_names", before=before)
    book.run("name_request", key=name.key, said=name.said, at=submission.received_at)
    return False
