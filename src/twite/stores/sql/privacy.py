"""Erase a person's rows by id, inside the running transaction.

The rows and their counts stay: a conversion loses its body and gets a digest as its id; a
submission loses the person's conversions. The dedup key stays, so that a repeated conversion still
counts as a duplicate.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.conversion import dedup_key
from twite.domain.delivery import State
from twite.gateway.operations.erase import ERASED, GONE, PREFIX, cut
from twite.gateway.ports.privacy import ErasedText, EraseStore, Place, SearchText
from twite.stores.sql import directory as people_rows
from twite.stores.sql import joins, rejections
from twite.stores.sql.database import Database, WriterSession, checksum
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import as_json
from twite.stores.sql.stored_bodies import body_of, stored_in_place
from twite.stores.sql.withdrawals import withdraw

_DIGITS: Final = 24
_EMPTIED: Final[Mapping[Place, str]] = {
    "answer": "empty_answer",
    "reason": "empty_reason",
    "note": "empty_note",
    "amended": "empty_amended_text",
    "pause": "empty_pause",
    "closure": "empty_closure",
    "sync": "empty_refused_rows",
}


class ToEraseRow(QueryRow):
    statement: ClassVar[str] = "to_erase"

    id: int
    queue: int
    pixel: str
    event: str
    conversion_id: str
    received_at: int
    size: int
    state: str | None


class SqlPrivacy:
    """Implements Privacy. Store classes inherit it.

    `_opted_out` is the event loop's copy of the opt-out list.
    """

    _database: Database
    _opted_out: set[bytes]
    # Makes the engine delete older versions of erased rows; returns whether it succeeded.
    _forget_old_versions: Callable[[], Awaitable[bool]]

    def has_opt_outs(self) -> bool:
        return bool(self._opted_out)

    def lists(self, keys: Sequence[bytes]) -> bool:
        return not self._opted_out.isdisjoint(keys)

    async def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        await self._database.write(lambda session: session.opt_outs.revoke(keys, now=now))
        self._opted_out.update(keys)

    async def restore(self, keys: Sequence[bytes]) -> None:
        await self._database.write(lambda session: session.opt_outs.restore(keys))
        self._opted_out.difference_update(keys)

    async def forget_identifiers(self, *, most: int) -> int:
        return await self._database.write(
            lambda session: joins.forget_identifiers(session, most=most)
        )

    async def erase(self, erasing: EraseStore, *, now: int) -> int:
        if erasing.overwrites:
            return 0  # done in place
        done = await self._database.write(lambda session: erase(session, erasing, now=now))
        self._opted_out.update(erasing.keys)
        if erasing.ends:
            return int(await self._forget_old_versions())
        return done


def erase(session: WriterSession, erase: EraseStore, *, now: int) -> int:
    """Erase one slice; return the number of conversions erased."""
    if erase.audit_event is not None:
        people_rows.note(session, erase.audit_event)
    if erase.keys:
        session.opt_outs.revoke(erase.keys, now=now)
    done = _conversions(session, erase, now=now) if erase.conversions else 0
    for erased in erase.cuts:
        _cut(session, erased)
    salt = bytes(session.run("read_deployment").fetchone()[0])
    for dedup_row in erase.dedup_rows:
        row = session.run("id_in_dedup_report", entry=dedup_row).fetchone()
        if row is not None and not row[0].startswith(PREFIX):
            session.run(
                "erase_in_dedup_report", entry=dedup_row, digest=digest_of(row[0], salt=salt)
            )
    for text in erase.texts:
        _empty(session, text)
    session.run("forget_known", deliveries=as_json(erase.known))
    gone = {erased.of for erased in erase.texts if erased.place == "ignored"}
    if gone:
        _unname(session, lambda name: digest_of(name, salt=salt) in gone)
    rejected = {str(erased.of) for erased in erase.texts if erased.place == "rejection"}
    if rejected:
        rejections.empty(session, rejected, digest=partial(digest_of, salt=salt))
    if erase.anew:
        # The unused parts of pages that were split during inserts may contain copies.
        session.run("index_anew")
    return done


def digest_of(conversion_id: str, *, salt: bytes) -> str:
    """Return the replacement for a conversion id: always the same, but only in this deployment."""
    found = hmac.digest(salt, f"{PREFIX}\0{conversion_id}".encode(), "sha256")
    return f"{PREFIX}{found.hex()[:_DIGITS]}"


def _conversions(session: WriterSession, erase: EraseStore, *, now: int) -> int:
    # Deliveries being sent are left out: the sender has them in memory, and they are checked again
    # when the result is recorded.
    found = ToEraseRow.of(session.run("to_erase", deliveries=as_json(erase.conversions)))
    rows = [row for row in found if row.state != State.SENDING]
    ids = [row.id for row in rows]
    withdraw(session.run, ids, now=now, cause=DeliveryCause.ERASED, reason=ERASED)
    salt = bytes(session.run("read_deployment").fetchone()[0])
    for row in rows:
        id_, name, size = row.id, row.conversion_id, row.size
        # Remove it now: pruning would search for the erased name.
        session.run("forget_suppression", key=dedup_key(row.pixel, row.event, name), delivery=id_)
        named = name if name.startswith(PREFIX) else digest_of(name, salt=salt)
        room = size and size + len(name.encode()) - len(named)
        body = b"{}".ljust(room) if room > 0 else b""
        sum_ = checksum(
            session.seeds[row.queue], delivery=id_, received_at=row.received_at,
            conversion_id=named.encode(), body=body,
        )  # fmt: skip
        session.run("erase_conversion", delivery=id_, digest=named, body=body, checksum=sum_)
        session.run("empty_amended_text", of=id_, gone=GONE)
        span = {"first": id_, "end": id_ + 1}
        session.run("forget_flagged", **span)
        session.run("forget_called", **span)
        session.run("forget_joined", **span)
    if rows:
        session.moved()
    return len(rows)


def _cut(session: WriterSession, erased: ErasedText) -> None:
    row = session.run("to_cut", submission=erased.submission).fetchone()
    if row is None:
        return
    stored, refusals, unfired = row
    # If `places` is empty, only data beside the body names the person, so the body stays.
    left = stored if erased.places == () else _filled(cut(body_of(stored), erased.places), stored)
    session.run(
        "cut_submission",
        submission=erased.submission,
        body=left,
        refusals=_without(refusals, erased.places),
        unfired=unfired if erased.places else None,
    )


def _filled(left: bytes, before: bytes) -> bytes:
    """Return what is left, for the place of the former bytes."""
    return stored_in_place(left or b"{}", len(before)) if before else b""


def _without(refusals: bytes | None, places: Sequence[int] | None) -> bytes | None:
    """Return rejections without details of some conversions, or of all; only the codes stay."""
    if refusals is None:
        return None
    decoded = msgspec.json.decode(refusals)
    for refusal in decoded:
        if not places or refusal["index"] in places:
            for fault in refusal.get(
                "errors", ()
            ):  # those from before rejections were stored separately
                fault["message"] = GONE
    return msgspec.json.encode(decoded)


def _empty(session: WriterSession, text: SearchText) -> None:
    if text.place in _EMPTIED:
        session.run(_EMPTIED[text.place], of=text.of, gone=GONE)


def _unname(session: WriterSession, goes: Callable[[str], bool]) -> None:
    """Move the counts of ignored items with an erased name to another name.

    The whole table is written again, because pages that were split may contain copies of old rows.
    """
    rows = session.run("ignored", since=0).fetchall()
    session.run("forget_all_ignored")
    for day, source, endpoint, name, reason, times in rows:
        called = GONE if goes(name) else name
        session.run(
            "put_ignored",
            day=day, source=source, endpoint=endpoint, called=called, reason=reason, times=times,
        )  # fmt: skip
