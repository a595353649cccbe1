"""Register: which alerts are open, from what is read again and again.

Invariants. At most one alert is open for a kind and a subject. It opens after its rule's
`opens_after` of bad readings in a row and is over after `calm` of good ones in a row; a reading
that is neither changes nothing. What the store does not hold yet is written with the next change.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Final

import msgspec

from twite.domain.alert import REMIND_EVERY, RULES, Alert, AlertKind, AlertPhase
from twite.domain.errors import TwiteError
from twite.gateway.ports.monitoring import AlertRecords
from twite.gateway.ports.store import Clock

Key = tuple[AlertKind, str]

# Of alerts that are over and that a webhook out of reach could not be told of.
MOST_PARTING: Final = 100


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one subject: bad, or not, or neither (None).

    `reason` says what is so, for a person.
    """

    kind: AlertKind
    subject: str
    bad: bool | None
    reason: str = ""

    @property
    def key(self) -> Key:
        return self.kind, self.subject


class AlertStore:
    """Holds the alerts, and keeps them in the store as well as that goes.

    `said` hears of each opening, reminder and end; `new_id` names an alert.
    """

    def __init__(
        self,
        *,
        alarms: AlertRecords,
        clock: Clock,
        new_id: Callable[[], str],
        said: Callable[[Alert, AlertPhase], None],
    ) -> None:
        self._alarms = alarms
        self._clock = clock
        self._new_id = new_id
        self._said = said
        self._open: dict[Key, Alert] = {}
        self._parting: dict[str, Alert] = {}
        # Since when readings have been bad, or good, without a break, monotonic.
        self._bad_since: dict[Key, int] = {}
        self._good_since: dict[Key, int] = {}
        self._unsaved: dict[str, Alert] = {}
        self._gone: set[str] = set()
        self._saving = asyncio.Lock()

    async def load(self) -> None:
        """Take up what the last process left. Raises LedgerUnavailable."""
        for alert in await self._alarms.alerts():
            if alert.resolved_at is None:
                self._open[alert.key] = alert
            else:
                self._parting[alert.id] = alert

    def alerts(self) -> list[Alert]:
        """Return what is open, the oldest first."""
        return sorted(self._open.values(), key=lambda one: (one.opened_at, one.id))

    def news(self) -> list[Alert]:
        """Return what the webhook has to be told, the oldest news first."""
        some = [*self._open.values(), *self._parting.values()]
        return sorted((one for one in some if one.news), key=lambda one: one.said_at)

    def take(self, readings: Iterable[CheckResult], *, whole: Collection[AlertKind] = ()) -> None:
        """Judge readings. Of `whole` kinds, a subject that is not among them is well.

        So that an alert about a pixel or a source ends when it is taken out of the settings.
        """
        seen = set()
        for reading in readings:
            seen.add(reading.key)
            self._judge(reading)
        for kind, subject in list(self._open):
            if kind in whole and (kind, subject) not in seen:
                self._judge(CheckResult(kind=kind, subject=subject, bad=False))

    def told(self, alert: Alert) -> None:
        """Note that the webhook took its news, unless there is newer news of it."""
        if self._parting.get(alert.id) == alert:
            del self._parting[alert.id]
            self._forget(alert.id)
        elif (now := self._open.get(alert.key)) is not None and (now.id, now.news, now.said_at) == (
            alert.id,
            alert.news,
            alert.said_at,
        ):
            self._keep(msgspec.structs.replace(now, news=None))

    async def save(self) -> None:
        """Write down what has changed. Where the store fails, it is tried with the next change."""
        # One at a time: else what a failed write gives back could replace what a later one wrote.
        async with self._saving:
            if not self._unsaved and not self._gone:
                return
            alerts, gone = tuple(self._unsaved.values()), tuple(self._gone)
            self._unsaved.clear()
            self._gone.clear()
            try:
                await self._alarms.keep(alerts, gone=gone)
            except TwiteError:
                self._gone.update(gone)
                self._unsaved = {alert.id: alert for alert in alerts} | self._unsaved

    def _judge(self, reading: CheckResult) -> None:
        key, rule = reading.key, RULES[reading.kind]
        now, alert = self._clock.elapsed(), self._open.get(reading.key)
        if reading.bad is not True:
            self._bad_since.pop(key, None)
        if reading.bad is not False:
            self._good_since.pop(key, None)
        if alert is None:
            if reading.bad and now - self._bad_since.setdefault(key, now) >= rule.opens_after:
                self._begin(reading)
        elif reading.bad is False:
            if now - self._good_since.setdefault(key, now) >= rule.calm:
                self._end(alert)
        else:
            self._go_on(alert, reading)

    def _begin(self, reading: CheckResult) -> None:
        now = self._clock.now()
        alert = Alert(
            id=self._new_id(),
            kind=reading.kind,
            subject=reading.subject,
            reason=reading.reason,
            opened_at=now,
            said_at=now,
        )
        self._keep(alert)
        self._said(alert, AlertPhase.OPENED)

    def _go_on(self, alert: Alert, reading: CheckResult) -> None:
        """Remind once a day; what is told is what is so now."""
        if reading.bad and reading.reason != alert.reason:
            alert = msgspec.structs.replace(alert, reason=reading.reason)
            self._keep(alert)
        now = self._clock.now()
        if now - alert.said_at >= REMIND_EVERY:
            news = AlertPhase.OPENED if alert.news is AlertPhase.OPENED else AlertPhase.STILL_OPEN
            self._keep(msgspec.structs.replace(alert, said_at=now, news=news))
            self._said(alert, AlertPhase.STILL_OPEN)

    def _end(self, alert: Alert) -> None:
        now = self._clock.now()
        over = msgspec.structs.replace(
            alert, resolved_at=now, said_at=now, news=AlertPhase.RESOLVED
        )
        del self._open[alert.key]
        self._good_since.pop(alert.key, None)
        self._parting[over.id] = over
        self._unsaved[over.id] = over
        while len(self._parting) > MOST_PARTING:
            oldest = next(iter(self._parting))
            del self._parting[oldest]
            self._forget(oldest)
        self._said(over, AlertPhase.RESOLVED)

    def _keep(self, alert: Alert) -> None:
        self._open[alert.key] = alert
        self._unsaved[alert.id] = alert

    def _forget(self, id_: str) -> None:
        self._unsaved.pop(id_, None)
        self._gone.add(id_)
