"""State records by kind and key, in memory."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from twite.domain.alert import Acknowledgement, Alert, Mute
from twite.domain.pause import Cause, Pause
from twite.domain.people.users import AuditEvent
from twite.domain.replay_batch import ReplayBatch, ReplayPart
from twite.domain.stats.traffic import KEPT_HOURS, HourlyTraffic
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.webhook_delivery import MOST_DELIVERIES, WebhookDelivery
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

R = TypeVar("R", bound=StateRecord)

_KEYS: Final[Mapping[type[StateRecord], Callable[[Any], Any]]] = {
    Pause: lambda pause: (pause.pixel, pause.event),
    RateLimitWindow: lambda window: window.pixel,
    ClockRecord: lambda _: "",
    DecisionPolicy: lambda policy: policy.source,
    UsualAmount: lambda amount: (amount.pixel, amount.event, amount.currency),
    Alert: lambda alert: alert.id,
    Acknowledgement: lambda acknowledgement: acknowledgement.alert,
    Mute: lambda mute: mute.subject,
    HourlyTraffic: lambda traffic: (traffic.source, traffic.hour),
    SealedSecret: lambda secret: secret.name,
    WebhookDelivery: lambda delivery: delivery.id,
    SyncRecord: lambda record: record.name,
    SourceKeyUse: lambda use: (use.source, use.id),
    XResultRecord: lambda record: record.name,
    ReplayBatch: lambda batch: batch.id,
    ReplayPart: lambda part: (part.batch, part.place),
}


def _name(key: str | tuple[str, ...]) -> str:
    return key if isinstance(key, str) else key[0]


def _forget_deliveries(kept: dict[str, WebhookDelivery], webhook: str) -> None:
    """Forget all deliveries of a webhook but the latest."""
    of_it = [delivery for delivery in kept.values() if delivery.webhook == webhook]
    of_it.sort(key=lambda delivery: (delivery.at, delivery.id))
    for old in of_it[:-MOST_DELIVERIES]:
        del kept[old.id]


class MemoryState:
    """Implements StateStore. Audit events recorded with a change are listed here."""

    def __init__(self) -> None:
        self._kept: dict[type, dict[Any, Any]] = defaultdict(dict)
        self.audit_events: list[AuditEvent] = []

    async def load(self, kind: type[R], *, prefix: str = "") -> Sequence[R]:
        kept = self._kept[kind]
        found = [kept[key] for key in sorted(kept) if not prefix or _name(key).startswith(prefix)]
        if kind is ClockRecord:
            found = [self._clock_record(found[0].ahead if found else None)]
        elif kind is Alert:
            found.sort(key=lambda alert: (alert.opened_at, alert.id))
        elif kind is WebhookDelivery:
            found.sort(key=lambda delivery: (delivery.at, delivery.id))
        return cast("list[R]", found)

    async def put(
        self,
        records: Sequence[StateRecord],
        *,
        gone: Sequence[StateKey] = (),
        old_secret: SealedSecret | None = None,
        audit_event: AuditEvent | None = None,
    ) -> None:
        for record in records:
            kept, key = self._kept[type(record)], _KEYS[type(record)](record)
            is_free = old_secret is None or kept.get(key) == old_secret
            is_free = is_free and not (isinstance(record, Acknowledgement) and key in kept)
            if isinstance(record, Pause) and key in kept and kept[key].cause is Cause.USER:
                is_free = record.cause is Cause.USER
            if is_free:
                kept[key] = record
            if isinstance(record, HourlyTraffic):
                for source, hour in list(kept):
                    if source == record.source and hour < record.hour - KEPT_HOURS:
                        del kept[source, hour]
            if isinstance(record, WebhookDelivery):
                _forget_deliveries(kept, record.webhook)
            for key_ in gone:
                kept.pop(key_, None)
        if audit_event is not None:
            await self._noted(audit_event)

    async def delete(
        self, kind: type[StateRecord], *keys: StateKey, audit_event: AuditEvent | None = None
    ) -> None:
        for key in keys:
            if not isinstance(key, Pause):
                self._kept[kind].pop(key, None)
            elif self._kept[kind].get(_KEYS[Pause](key)) == key:
                del self._kept[kind][_KEYS[Pause](key)]
        if audit_event is not None:
            await self._noted(audit_event)

    def _clock_record(self, ahead: int | None) -> ClockRecord:
        return ClockRecord(ahead=ahead)

    async def _noted(self, audit_event: AuditEvent | None) -> None:
        if audit_event is not None:
            self.audit_events.append(audit_event)
