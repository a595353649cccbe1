"""The State port in SQL: each kind of record has statements to read, write and delete it."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from twite.domain.alert import Acknowledgement, Alert, AlertKind, AlertPhase, Mute
from twite.domain.pause import Cause, Pause
from twite.domain.people.users import AuditEvent
from twite.domain.replay_batch import KEPT_FOR, STARTED_WITHIN, ReplayBatch, ReplayPart, first_id
from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.webhook_delivery import MOST_DELIVERIES, DeliveryVerdict, WebhookDelivery
from twite.gateway.ports.state import (
    ClockRecord,
    DecisionPolicy,
    RateLimitWindow,
    SealedSecret,
    SourceKeyUse,
    StateKey,
    StateRecord,
    SyncRecord,
    XResultRecord,
)
from twite.stores.sql.database import Database, ReadsViews, WriterSession
from twite.stores.sql.directory import note
from twite.stores.sql.rows.tables import AlertRow
from twite.stores.sql.statements import SqlConnection, query, record_of

R = TypeVar("R", bound=StateRecord)
_KINDS: Final = frozenset(kind.value for kind in AlertKind)
_VERDICTS: Final = frozenset(verdict.value for verdict in DeliveryVerdict)
_PHASES: Final = frozenset({None, *(phase.value for phase in AlertPhase)})
_PUT: Final[Mapping[type[StateRecord], str]] = {
    Pause: "add_pause",
    RateLimitWindow: "add_closure",
    ClockRecord: "note_ahead",
    DecisionPolicy: "note_policy",
    UsualAmount: "keep_norm",
    Alert: "keep_alert",
    Acknowledgement: "acknowledge",
    Mute: "put_mute",
    HourlyTraffic: "note_traffic",
    SealedSecret: "put_sealed",
    WebhookDelivery: "note_webhook_delivery",
    SyncRecord: "put_sync_state",
    SourceKeyUse: "put_key_use",
    XResultRecord: "put_x_result",
    ReplayBatch: "put_replay_batch",
    ReplayPart: "put_replay_part",
}
_DELETE: Final[Mapping[type[StateRecord], tuple[str, ...]]] = {
    Pause: ("remove_pause", "pixel", "event"),
    Alert: ("forget_alert", "id"),
    Acknowledgement: ("forget_acknowledgement", "alert"),
    Mute: ("forget_mute", "subject"),
    SealedSecret: ("forget_sealed", "name"),
    SyncRecord: ("forget_sync_state", "name"),
    XResultRecord: ("forget_x_result", "name"),
}


class SqlStateReader:
    """Implements StateReader. Store classes inherit it."""

    _database: ReadsViews

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        return await self._database.read(lambda connection: _load(connection, kind, prefix))


class SqlStateStore(SqlStateReader):
    """Implements StateStore. Store classes inherit it."""

    _database: Database

    async def put(
        self,
        records: Sequence[StateRecord],
        *,
        gone: Sequence[StateKey] = (),
        old_secret: SealedSecret | None = None,
        audit_event: AuditEvent | None = None,
    ) -> None:
        def unit(session: WriterSession) -> None:
            for record in records:
                _put(session, record, old_secret=old_secret)
            if records:
                _delete(session, type(records[0]), gone)
            _note(session, audit_event)

        await self._database.write(unit)

    async def delete(
        self, kind: type[StateRecord], *keys: StateKey, audit_event: AuditEvent | None = None
    ) -> None:
        def unit(session: WriterSession) -> None:
            _delete(session, kind, keys)
            _note(session, audit_event)

        await self._database.write(unit)


def delete_secret(session: WriterSession, name: str) -> None:
    _delete(session, SealedSecret, (name,))


def _load(connection: SqlConnection, kind: type[R], prefix: str) -> list[R]:
    statement, read = _READ[kind]
    # Keys never contain U+10FFFF, so it sorts after all of them.
    span = {"first": prefix, "beyond": prefix + "\U0010ffff"}
    rows = connection.execute(query(statement), span).fetchall()
    return [record for row in rows if (record := read(*row)) is not None]


def _put(session: WriterSession, record: StateRecord, *, old_secret: SealedSecret | None) -> None:
    values = _values(record)
    if old_secret is not None:
        session.run("reseal", **values, was=old_secret.sealed)
        return
    session.run(_PUT[type(record)], **values)
    if isinstance(record, HourlyTraffic):
        session.run("forget_traffic", source=record.source, before=record.hour - KEPT_HOURS)
    if isinstance(record, WebhookDelivery):
        session.run("forget_webhook_deliveries", webhook=record.webhook, most=MOST_DELIVERIES)
    if isinstance(record, Mute):
        session.run("forget_expired_mutes", now=record.at)
    if isinstance(record, ReplayBatch):
        session.run("forget_replay_parts", before=record.at - KEPT_FOR)
        session.run("forget_replay_batches", before=record.at - KEPT_FOR)
        if not record.done:  # it starts
            session.run("forget_unstarted_parts", beyond=first_id(record.at - STARTED_WITHIN))


def _delete(session: WriterSession, kind: type[StateRecord], keys: Sequence[StateKey]) -> None:
    for key in keys:
        if isinstance(key, Pause):
            session.run("remove_same_pause", **_values(key))
            continue
        statement, *names = _DELETE[kind]
        parts = (key,) if isinstance(key, str) else key
        session.run(statement, **dict(zip(names, parts, strict=True)))


def _note(session: WriterSession, audit_event: AuditEvent | None) -> None:
    if audit_event is not None:
        note(session, audit_event)


def _values(record: StateRecord) -> dict[str, object]:
    return {name: _plain(value) for name, value in msgspec.structs.asdict(record).items()}


def _plain(value: object) -> object:
    """Return the stored form of a field."""
    if isinstance(value, StrEnum):
        return value.value
    return msgspec.json.encode(value).decode() if isinstance(value, tuple) else value


def _alert(*row: Any) -> Alert | None:  # noqa: ANN401 - a row of the database
    """Return an alert; None if only another version of Twite knows its kind."""
    alert = AlertRow(*row)
    kind, phase = alert.kind, alert.unsent_phase
    if kind not in _KINDS or phase not in _PHASES:
        return None
    read = {"kind": AlertKind(kind), "unsent_phase": phase and AlertPhase(phase)}
    return Alert(**msgspec.structs.asdict(alert) | read)


def _usual_amount(*row: Any) -> UsualAmount:  # noqa: ANN401 - a row of the database
    *values, first = row
    return record_of(UsualAmount, (*values, tuple(msgspec.json.decode(first, type=list[float]))))


def _pause(pixel: str, since: int, cause: str, reason: str, event: str) -> Pause:
    return Pause(pixel=pixel, since=since, cause=Cause(cause), reason=reason, event=event)


def _webhook_delivery(*row: Any) -> WebhookDelivery | None:  # noqa: ANN401 - a row of the database
    """Return a delivery; None if only another version of Twite knows its verdict."""
    id_, webhook, at, message, verdict, *rest = row
    if verdict not in _VERDICTS:
        return None
    values = (id_, webhook, at, message, DeliveryVerdict(verdict), *rest)
    return record_of(WebhookDelivery, values)


def _replay_part(*row: Any) -> ReplayPart:  # noqa: ANN401 - a row of the database
    *values, deliveries, refused = row
    deliveries = msgspec.json.decode(deliveries, type=tuple[int, ...])
    refused = msgspec.json.decode(refused, type=tuple[tuple[int, str], ...])
    return record_of(ReplayPart, (*values, deliveries, refused))


def _in_order(kind: type[R]) -> Callable[..., R]:
    return lambda *row: record_of(kind, row)


_READ: Final[Mapping[type, tuple[str, Callable[..., Any]]]] = {
    Pause: ("pauses", _pause),
    RateLimitWindow: ("closures", _in_order(RateLimitWindow)),
    ClockRecord: ("timed", _in_order(ClockRecord)),
    DecisionPolicy: ("policies", _in_order(DecisionPolicy)),
    UsualAmount: ("norms", _usual_amount),
    Alert: ("alerts", _alert),
    Acknowledgement: ("acknowledgements", _in_order(Acknowledgement)),
    Mute: ("mutes", _in_order(Mute)),
    HourlyTraffic: ("traffic", _in_order(HourlyTraffic)),
    SealedSecret: ("sealed", _in_order(SealedSecret)),
    WebhookDelivery: ("webhook_deliveries", _webhook_delivery),
    SyncRecord: ("sync_states", _in_order(SyncRecord)),
    SourceKeyUse: ("key_uses", _in_order(SourceKeyUse)),
    XResultRecord: ("x_results", _in_order(XResultRecord)),
    ReplayBatch: ("replay_batches", _in_order(ReplayBatch)),
    ReplayPart: ("replay_parts", _replay_part),
}
