"""Alert state: open, repeat and resolve alerts according to the results of repeated checks.

At most one alert is open for each kind and subject. It opens when the results have been bad for the
time `opens_after` of its rule, and resolves when they have been good for the time `calm`. An
unknown result changes nothing. If a write fails, it is repeated with the next change.

Acknowledged alerts are not repeated. Muted ones are not reported until the mute ends, except that
an alert that was reported before is also reported as resolved.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.alert import (
    MOST_RESOLVED,
    MUTED,
    REMIND_EVERY,
    RESOLVED_KEPT_FOR,
    RULES,
    Acknowledgement,
    Alert,
    AlertKind,
    AlertPhase,
    AlertReplies,
    Mute,
)
from twite.domain.errors import TwiteError
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.state import StateReader, StateStore

Key = tuple[AlertKind, str]

# The most resolved alerts that are reported after the webhook could not be reached.
MOST_UNSENT: Final = 100


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check of one subject: bad, good, or unknown (None).

    `reason` describes the condition to the person who reads the alert.
    """

    kind: AlertKind
    subject: str
    bad: bool | None
    reason: str = ""

    @property
    def key(self) -> Key:
        return self.kind, self.subject


async def read_replies(state: StateReader) -> AlertReplies:
    """Read what users replied to alerts. Raises LedgerUnavailable."""
    acknowledgements, mutes = await asyncio.gather(
        state.load(Acknowledgement), state.load(Mute, prefix=MUTED)
    )
    return AlertReplies.of(acknowledgements, mutes)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class AlertStore:
    """Holds the alerts in memory, and saves them in the store.

    `notify` is called for each opened, repeated and resolved alert; `new_id` returns the id of a
    new alert.
    """

    state: StateStore
    clock: Clock
    new_id: Callable[[], str]
    notify: Callable[[Alert, AlertPhase], None]
    _open: dict[Key, Alert] = field(init=False, default_factory=dict)
    _resolved: dict[str, Alert] = field(init=False, default_factory=dict)
    _replies: AlertReplies = field(init=False, default=AlertReplies())
    # Since when results have been bad, or good, without a break (monotonic).
    _bad_since: dict[Key, int] = field(init=False, default_factory=dict)
    _good_since: dict[Key, int] = field(init=False, default_factory=dict)
    _unsaved: dict[str, Alert] = field(init=False, default_factory=dict)
    _gone: set[str] = field(init=False, default_factory=set)
    _saving: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _is_loaded: bool = field(init=False, default=False)

    async def load(self) -> None:
        """Load the alerts of the last process. Raises LedgerUnavailable: `save` tries again."""
        for alert in await self.state.load(Alert):
            if alert.resolved_at is None:
                if (new := self._open.get(alert.key)) is not None:
                    self._unsaved.pop(new.id, None)
                self._open[alert.key] = alert
            else:
                self._resolved[alert.id] = alert
        await self.load_replies()
        self._is_loaded = True

    async def load_replies(self) -> None:
        """Load what users replied: acknowledgements and mutes. Raises LedgerUnavailable."""
        self._replies = await read_replies(self.state)

    def alerts(self) -> list[Alert]:
        """Return the open alerts, oldest first."""
        return sorted(self._open.values(), key=lambda alert: (alert.opened_at, alert.id))

    def unsent(self) -> list[Alert]:
        """Return the alerts to send to the webhook, oldest change first."""
        alerts = [
            *(alert for alert in self._open.values() if not self._is_quiet(alert)),
            *self._resolved.values(),
        ]
        return sorted(
            (alert for alert in alerts if alert.unsent_phase), key=lambda alert: alert.reported_at
        )

    def take(self, readings: Iterable[CheckResult], *, whole: Collection[AlertKind] = ()) -> None:
        """Process check results.

        For the kinds in `whole`, a subject without a result counts as good, so that an alert
        resolves after its pixel or source has been removed from the settings.
        """
        seen = set()
        for reading in readings:
            seen.add(reading.key)
            self._judge(reading)
        for kind, subject in list(self._open):
            if kind in whole and (kind, subject) not in seen:
                self._judge(CheckResult(kind=kind, subject=subject, bad=False))

    def record_sent(self, alert: Alert) -> None:
        """Record that the webhook accepted a message, unless its alert has changed since."""
        if self._resolved.get(alert.id) == alert:
            self._keep_resolved(msgspec.structs.replace(alert, unsent_phase=None))
        elif (now := self._open.get(alert.key)) is not None and (
            now.id,
            now.unsent_phase,
            now.reported_at,
        ) == (
            alert.id,
            alert.unsent_phase,
            alert.reported_at,
        ):
            self._keep(msgspec.structs.replace(now, unsent_phase=None))

    async def save(self) -> None:
        """Store changed alerts. After a failure they are stored with the next change."""
        # One write at a time: a failed write must not restore older state over a newer one.
        async with self._saving:
            try:
                if not self._is_loaded:
                    await self.load()
            except TwiteError:
                return
            if not self._unsaved and not self._gone:
                return
            alerts, gone = tuple(self._unsaved.values()), tuple(self._gone)
            self._unsaved.clear()
            self._gone.clear()
            try:
                if alerts:
                    await self.state.put(alerts, gone=gone)
                else:
                    await self.state.delete(Alert, *gone)
                if gone:
                    await self.state.delete(Acknowledgement, *gone)
            except TwiteError:
                self._gone.update(gone)
                self._unsaved = {alert.id: alert for alert in alerts} | self._unsaved

    def _judge(self, result: CheckResult) -> None:
        key, rule = result.key, RULES[result.kind]
        now, alert = self.clock.elapsed(), self._open.get(result.key)
        if result.bad is not True:
            self._bad_since.pop(key, None)
        if result.bad is not False:
            self._good_since.pop(key, None)
        if alert is None:
            if result.bad and now - self._bad_since.setdefault(key, now) >= rule.opens_after:
                self._begin(result)
        elif result.bad is False:
            if now - self._good_since.setdefault(key, now) >= rule.calm:
                self._end(alert)
        else:
            self._go_on(alert, result)

    def _begin(self, result: CheckResult) -> None:
        now = self.clock.now()
        alert = Alert(
            id=self.new_id(),
            kind=result.kind,
            subject=result.subject,
            reason=result.reason,
            opened_at=now,
            reported_at=now,
        )
        self._keep(alert)
        self.notify(alert, AlertPhase.OPENED)

    def _go_on(self, alert: Alert, result: CheckResult) -> None:
        """Keep an alert open: update its reason, and send a reminder once a day."""
        if result.bad and result.reason != alert.reason:
            alert = msgspec.structs.replace(alert, reason=result.reason)
            self._keep(alert)
        now = self.clock.now()
        if now - alert.reported_at >= REMIND_EVERY and not self._is_quiet(alert):
            phase = AlertPhase.STILL_OPEN
            if alert.unsent_phase is AlertPhase.OPENED:
                phase = AlertPhase.OPENED
            self._keep(msgspec.structs.replace(alert, reported_at=now, unsent_phase=phase))
            self.notify(alert, AlertPhase.STILL_OPEN)

    def _end(self, alert: Alert) -> None:
        now = self.clock.now()
        was_reported = alert.unsent_phase is not AlertPhase.OPENED
        over = msgspec.structs.replace(
            alert,
            resolved_at=now,
            reported_at=now,
            unsent_phase=AlertPhase.RESOLVED if was_reported or not self._is_muted(alert) else None,
        )
        del self._open[alert.key]
        self._good_since.pop(alert.key, None)
        self._keep_resolved(over)
        unsent = [old for old in self._resolved.values() if old.unsent_phase]
        for old in unsent[:-MOST_UNSENT]:
            self._keep_resolved(msgspec.structs.replace(old, unsent_phase=None))
        self._forget_old(now)
        self.notify(over, AlertPhase.RESOLVED)

    def _is_muted(self, alert: Alert) -> bool:
        return self._replies.mute(alert, now=self.clock.now()) is not None

    def _is_quiet(self, alert: Alert) -> bool:
        return self._replies.acknowledgement(alert) is not None or self._is_muted(alert)

    def _keep(self, alert: Alert) -> None:
        self._open[alert.key] = alert
        self._unsaved[alert.id] = alert

    def _keep_resolved(self, alert: Alert) -> None:
        self._resolved[alert.id] = alert
        self._unsaved[alert.id] = alert

    def _forget_old(self, now: int) -> None:
        """Forget resolved alerts that are too old, or too many."""
        latest = sorted(self._resolved.values(), key=lambda alert: alert.resolved_at or 0)
        for place, alert in enumerate(reversed(latest)):
            if place >= MOST_RESOLVED or now - (alert.resolved_at or 0) > RESOLVED_KEPT_FOR:
                del self._resolved[alert.id]
                self._unsaved.pop(alert.id, None)
                self._gone.add(alert.id)
