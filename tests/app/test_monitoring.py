"""Of several gateways on one store, only the leader opens alerts. A new leader continues them."""

import msgspec
import pytest

from fakes import MovingClock, SeededRandomness, SetDisk
from memory_store.store import MemoryStore
from twite.app import monitoring as monitoring_module
from twite.app.monitoring import Monitoring
from twite.config.settings import load
from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.pause import Cause, Pause
from twite.domain.stats.traffic import HourlyTraffic
from twite.domain.times import MINUTE, SECOND
from twite.domain.webhook_delivery import DeliveryVerdict, WebhookDelivery
from twite.gateway.alerts.monitor import EventListener
from twite.gateway.ports.events import (
    Alerted,
    ConditionChanged,
    Misdated,
    MonitorStopped,
    ProblemPlace,
    ProblemSeen,
    WebhookAnswered,
)
from twite.observers import Several

REFUSED = Pause(
    pixel="o8z6j", since=1, cause=Cause.CREDENTIALS_REFUSED, reason="401 UNAUTHORIZED: no"
)


class LeaderState:
    """The part of Ownership that Monitoring uses. Gateways with the same `board` read each other's
    conditions.
    """

    def __init__(self, name, board):
        self.name = name
        self.is_leader = False
        self.has_lease = True
        self._board = board
        self.report(())

    def report(self, conditions):
        self._board[self.name] = [
            msgspec.structs.replace(condition, gateway=self.name) for condition in conditions
        ]

    def reported(self):
        others = {name: said for name, said in self._board.items() if name != self.name}
        return [condition for said in others.values() for condition in said] if others else None

    def may_send(self):
        return self.has_lease


class SharedStore:
    """A store as seen by one of several gateways."""

    def __init__(self, store, ownership):
        self.ownership = ownership
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


class RecordedAlerts:
    def __init__(self):
        self.phases = []
        self.alerts = []
        self.stopped = 0

    def see(self, notice):
        if isinstance(notice, Alerted):
            self.phases.append(notice.phase)
            self.alerts.append(notice.alert)
        if isinstance(notice, MonitorStopped):
            self.stopped += 1


@pytest.fixture
async def gateways(tmp_path, monkeypatch):
    """The monitoring of two gateways; neither leads."""
    config = tmp_path / "twite.toml"
    config.write_text(
        '[server]\nlisten = "127.0.0.1:0"\n[store]\nurl = "sqlite:twite.db"\n'
        '[[pixel]]\nid = "o8z6j"\nauth = { pixel_token = "a-token-of-a-pixel-o8z6j" }\n'
        'events = { purchase = "o8z6k" }\n'
        '[[source]]\nname = "shop"\nkey = "a-key-of-the-source-shop"\npixel = "o8z6j"\n'
        'region = "GB"\n'
        '[[webhook]]\nname = "orders"\nkind = "shopify"\nsecret = "a-secret"\nsource = "shop"\n'
    )
    monkeypatch.setattr(monitoring_module, "disk_of", lambda _: SetDisk())
    settings = load(config, {})
    clock, store = MovingClock(), MemoryStore()
    both, board = [], {}
    for name in ("one", "two"):
        leads, recorded, listener = LeaderState(name, board), RecordedAlerts(), EventListener(clock)
        monitoring = Monitoring(
            settings,
            store=SharedStore(store, leads),
            listener=listener,
            clock=clock,
            randomness=SeededRandomness(len(both)),
            observer=Several((listener, recorded)),
        )
        await monitoring.start()
        recorded.tell = listener.see
        both.append((leads, recorded, monitoring))
    yield clock, store, both
    for _, _, monitoring in both:
        await monitoring.stop()


async def test_only_the_leader_opens_alerts_for_all_pixels(gateways):
    clock, store, [(_, idle, _), (leads, recorded, _)] = gateways
    leads.is_leader = True
    await clock.advance(5 * SECOND)

    await store.put([REFUSED])
    await clock.advance(5 * SECOND)

    assert (idle.phases, recorded.phases) == ([], [AlertPhase.OPENED])
    assert [alert.subject for alert in await store.load(Alert)] == ["o8z6j"]


async def test_gateway_that_lost_the_lead_stops_its_monitor_once(gateways):
    clock, _, [(leads, recorded, _), (_, idle, _)] = gateways
    leads.is_leader = True
    await clock.advance(5 * SECOND)
    leads.is_leader = False
    await clock.advance(MINUTE)

    assert (recorded.stopped, idle.stopped) == (1, 0)


async def test_new_leader_continues_open_alerts(gateways):
    clock, store, [(first, before, _), (second, after, _)] = gateways
    first.is_leader = True
    await store.put([REFUSED])
    await clock.advance(5 * SECOND)
    first.is_leader, second.is_leader = False, True
    await clock.advance(5 * SECOND)

    await store.delete(Pause, ("o8z6j", ""))
    await clock.advance(7 * MINUTE)

    assert (before.phases, after.phases) == ([AlertPhase.OPENED], [AlertPhase.RESOLVED])


async def test_leader_opens_alerts_of_conditions_of_another_gateway(gateways):
    clock, store, [(leads, recorded, _), (_, idle, _)] = gateways
    leads.is_leader = True
    idle.tell(Misdated(offset=-40 * SECOND))
    idle.tell(ProblemSeen(where=ProblemPlace.LEDGER, reason="no space left"))
    idle.tell(ConditionChanged(kind=AlertKind.TEMPLATE_HUNG, subject="tag:bad", reason="It hung"))
    await clock.advance(3 * MINUTE)

    opened = {alert.kind: alert.reason for alert in recorded.alerts}

    assert opened[AlertKind.TEMPLATE_HUNG] == "Gateway two: It hung"
    assert opened[AlertKind.CLOCK_WRONG] == (
        "Gateway two: This machine's clock is 40 s ahead of X's"
    )
    assert opened[AlertKind.STORE_FAILING].startswith("Gateway two: A commit failed")
    assert idle.phases == []
    assert {alert.kind for alert in await store.load(Alert)} == opened.keys()


async def test_condition_of_two_gateways_ends_when_it_has_ended_at_both(gateways):
    clock, _, [(leads, recorded, _), (_, idle, _)] = gateways
    leads.is_leader = True
    for gateway in (recorded, idle):
        gateway.tell(Misdated(offset=40 * SECOND))
    await clock.advance(2 * MINUTE)
    recorded.tell(Misdated(offset=0))
    await clock.advance(20 * MINUTE)
    before = list(recorded.phases)
    idle.tell(Misdated(offset=0))
    await clock.advance(20 * MINUTE)

    assert (before, recorded.phases) == (
        [AlertPhase.OPENED],
        [AlertPhase.OPENED, AlertPhase.RESOLVED],
    )


async def test_new_leader_continues_an_alert_of_the_former_leader(gateways):
    clock, _, [(first, before, _), (second, after, _)] = gateways
    first.is_leader = True
    before.tell(Misdated(offset=40 * SECOND))
    await clock.advance(2 * MINUTE)
    first.is_leader, second.is_leader = False, True
    await clock.advance(20 * MINUTE)

    assert (before.phases, after.phases) == ([AlertPhase.OPENED], [])


async def test_leader_without_its_lease_opens_an_alert_but_does_not_store_it(gateways):
    clock, store, [(leads, recorded, _), _] = gateways
    leads.is_leader = True
    await clock.advance(5 * SECOND)
    leads.has_lease = False
    recorded.tell(ProblemSeen(where=ProblemPlace.LEDGER, reason="the server does not answer"))
    await clock.advance(5 * SECOND)
    without = list(await store.load(Alert))
    leads.has_lease = True
    await clock.advance(MINUTE)

    assert [alert.kind for alert in recorded.alerts] == [AlertKind.STORE_FAILING]
    assert without == []
    assert [alert.kind for alert in await store.load(Alert)] == [AlertKind.STORE_FAILING]


async def test_each_gateway_stores_its_deliveries_of_webhooks_for_the_leader(gateways):
    clock, store, [(_, idle, _), (leads, recorded, _)] = gateways
    leads.is_leader = True
    delivery = WebhookDelivery(
        id="", webhook="orders", at=0, message="orders/paid", verdict=DeliveryVerdict.ACCEPTED
    )
    await clock.advance(5 * SECOND)

    counts = []
    for gateway in (recorded, idle, idle):
        gateway.tell(WebhookAnswered(delivery=delivery))
        await clock.advance(2 * MINUTE)
        (hour,) = await store.load(HourlyTraffic, prefix="/webhooks/orders")
        counts.append(hour.count)

    assert counts == [1, 2, 3]
