"""Of the gateways on one store, the leader opens the alerts of all, and a new one goes on."""

import pytest

from twite.app import monitoring as monitoring_module
from twite.app.monitoring import Monitoring
from twite.config.settings import load
from twite.domain.alert import Alert, AlertPhase
from twite.domain.times import MINUTE, SECOND
from twite.gateway.alerts.monitor import EventListener
from twite.gateway.ports.events import Alerted, MonitorStopped
from twite.gateway.ports.state import Pause
from twite.observers import Several
from twite.stores.memory.store import MemoryStore
from twite.testing.fakes import MovingClock, SeededRandomness, SetDisk

REFUSED = Pause(pixel="o8z6j", since=1, reason="401 UNAUTHORIZED: no")


class Leads:
    """What Monitoring asks an Ownership."""

    def __init__(self, *, is_leader=False):
        self.is_leader = is_leader


class SharedStore:
    """A store as one of several gateways sees it."""

    def __init__(self, store, ownership):
        self.ownership = ownership
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


class Heard:
    def __init__(self):
        self.phases = []
        self.stopped = 0

    def see(self, notice):
        if isinstance(notice, Alerted):
            self.phases.append(notice.phase)
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
    )
    monkeypatch.setattr(monitoring_module, "disk_of", lambda _: SetDisk())
    settings = load(config, {})
    clock, store = MovingClock(), MemoryStore()
    both = []
    for _ in range(2):
        leads, heard, listener = Leads(), Heard(), EventListener(clock)
        monitoring = Monitoring(
            settings,
            store=SharedStore(store, leads),
            listener=listener,
            clock=clock,
            randomness=SeededRandomness(len(both)),
            observer=Several((listener, heard)),
        )
        await monitoring.start()
        both.append((leads, heard, monitoring))
    yield clock, store, both
    for _, _, monitoring in both:
        await monitoring.stop()


async def test_only_the_leader_opens_alerts_also_of_pixels_that_others_send_to(gateways):
    clock, store, [(_, idle, _), (leads, heard, _)] = gateways
    leads.is_leader = True
    await clock.advance(5 * SECOND)

    await store.put([REFUSED])
    await clock.advance(5 * SECOND)

    assert (idle.phases, heard.phases) == ([], [AlertPhase.OPENED])
    assert [alert.subject for alert in await store.load(Alert)] == ["o8z6j"]


async def test_a_gateway_that_leads_no_more_says_so_once(gateways):
    clock, _, [(leads, heard, _), (_, idle, _)] = gateways
    leads.is_leader = True
    await clock.advance(5 * SECOND)
    leads.is_leader = False
    await clock.advance(MINUTE)

    assert (heard.stopped, idle.stopped) == (1, 0)


async def test_a_new_leader_goes_on_with_the_open_alerts(gateways):
    clock, store, [(first, before, _), (second, after, _)] = gateways
    first.is_leader = True
    await store.put([REFUSED])
    await clock.advance(5 * SECOND)
    first.is_leader, second.is_leader = False, True
    await clock.advance(5 * SECOND)

    await store.delete(Pause, ("o8z6j", ""))
    await clock.advance(7 * MINUTE)

    assert (before.phases, after.phases) == ([AlertPhase.OPENED], [AlertPhase.RESOLVED])
