"""Overwrite what PostgreSQL's files keep of erased rows.

An UPDATE writes a new version of a row, and VACUUM only marks the place of the old version as free:
its bytes stay until other rows use that place. So the erased rows are written again: with noise of
the former length, which does not compress, then several times without content, so that also small
gaps are used. The last version has the content of before, and nobody sees the others, because this
is one transaction. The next VACUUM frees the places again, and they then contain noise.
"""

import os
from typing import Final

from twite.gateway.ports.privacy import EraseStore
from twite.stores.postgres.session import PostgresSession

# Versions without content: the gaps that a row of the former length leaves are smaller than a row.
_SMALL_VERSIONS: Final = 8


def overwrite(session: PostgresSession, erase: EraseStore) -> int:
    """Write erased rows again; return how many. Call it after a VACUUM."""
    submissions = [erased.submission for erased in erase.cuts]
    if erase.dedup_rows:
        for _ in range(_SMALL_VERSIONS):
            session.run("write_dedup_report_again", ids=list(erase.dedup_rows))
    if erase.known:
        # These rows are deleted: others of about the same length use their places, and are deleted.
        for length in range(2, -1, -1):
            session.run("fill_known", rows=_SMALL_VERSIONS * len(erase.known), length=length)
        session.run("forget_filled_known")
    return _overwrite(session, "conversions", list(erase.conversions)) + _overwrite(
        session, "submissions", submissions
    )


def _overwrite(session: PostgresSession, what: str, ids: list[int]) -> int:
    if not ids:
        return 0
    rows = session.run(f"{what}_to_overwrite", ids=ids).fetchall()
    noise = os.urandom(max((len(body) for _, body in rows), default=0))
    session.run(f"fill_{what}", ids=ids, noise=noise)
    for _ in range(_SMALL_VERSIONS):
        session.run(f"fill_{what}", ids=ids, noise=b"")
    for id_, body in rows:
        session.run(f"restore_{what}", id=id_, body=body)
    return len(rows)
