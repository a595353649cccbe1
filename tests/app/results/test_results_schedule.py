"""When results are fetched: every hour, only by the leader; and the alerts about them."""

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from builders import a_destination_with_oauth
from fakes import MovingClock, SeededRandomness
from memory_store.state import MemoryState
from results_stage import ACCOUNT, NOON, PIXEL, PURCHASE, URL, CountedDeliveries, EmulatedX
from twite.app.results.schedule import ResultsSchedule
from twite.config.results_table import ResultsSettings
from twite.domain.alert import AlertKind
from twite.domain.results.sale_amounts import SaleAmountUnit
from twite.domain.results.warnings import WARNINGS
from twite.domain.stats.match_keys import Matched, Matching
from twite.domain.stats.value_guard import UsualAmount
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.ports.events import ConditionChanged, ProblemSeen, ResultsChecked, ResultsFailed
from twite.gateway.ports.queries import DeliveredEventsQuery, MatchQuery
from twite.gateway.results.records import load_account
from twite.gateway.x_account.inquiries import XInquiries, XInquiryAddress


class StoredResults(MemoryState, CountedDeliveries):
    """The store of a gateway, as far as results use it."""

    ownership = None

    def __init__(self):
        MemoryState.__init__(self)
        CountedDeliveries.__init__(self)

        self.matched = []

    async def answer(self, query):
        if isinstance(query, DeliveredEventsQuery):
            return await CountedDeliveries.answer(self, query)
        return self.matched if isinstance(query, MatchQuery) else []


class ScheduleStage:
    """A gateway with one signed-in ads account, or with several of one user."""

    def __init__(self):
        self.clock = MovingClock(NOON)
        self.x = EmulatedX(self.clock)
        self.store = StoredResults()
        self.seen = []
        destination = replace(a_destination_with_oauth(), account=ACCOUNT)
        self.results = ResultsSettings(
            fetch=True, history=0, sale_amount_unit=SaleAmountUnit.MICRO, cut_over=None
        )
        self.in_use = SimpleNamespace(
            settings=SimpleNamespace(
                results=self.results,
                store=SimpleNamespace(keeping=SimpleNamespace(history=30 * DAY)),
            ),
            destinations={PIXEL: destination},
        )
        self.inquiries = XInquiries(
            inquiries=self.x,
            clock=self.clock,
            randomness=SeededRandomness(),
            address=XInquiryAddress(api_url=URL, oauth_url=URL, version="12"),
        )
        self.schedule = self.new_schedule()

    def new_schedule(self):
        return ResultsSchedule(
            self.store,
            self.clock,
            SimpleNamespace(see=self.seen.append),
            in_use=lambda: self.in_use,
            inquiries=self.inquiries,
        )

    async def fetched_at(self):
        return (await load_account(self.store, ACCOUNT)).hourly_at - NOON

    def conditions(self, kind):
        return [
            (each.subject, each.holds)
            for each in self.seen
            if type(each) is ConditionChanged and each.kind is kind
        ]


@pytest.fixture
async def stage():
    stage = ScheduleStage()
    yield stage
    await stage.schedule.stop()


async def test_new_account_is_fetched_again_after_a_minute_and_after_ever_longer_pauses(stage):
    stage.schedule.start()
    fetched = []
    for _ in range(150):
        await stage.clock.advance(MINUTE)
        fetched.append(await stage.fetched_at())

    pauses = [
        round((after - before) / MINUTE) for before, after in pairwise(dict.fromkeys(fetched))
    ]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1, 60)
    assert len(pauses) >= 7


async def test_accounts_with_many_campaigns_are_fetched_only_every_hour(stage):
    campaigns = [{"id": f"d{n}", "funding_instrument": "lygyi"} for n in range(20)]
    stage.x.judge.world.merge({"campaigns": campaigns})
    stage.schedule.start()
    await stage.clock.advance(50 * MINUTE)

    assert await stage.fetched_at() < MINUTE


async def test_age_of_the_figures_and_failures_are_reported_for_metrics(stage):
    stage.schedule.start()
    await stage.clock.advance(MINUTE // 2)
    current = [each for each in stage.seen if type(each) is ResultsChecked][-1]
    stage.x.faults += [("/12/accounts", 401, {})] * 200
    await stage.clock.advance(3 * DAY)
    late = [each for each in stage.seen if type(each) is ResultsChecked][-1]

    assert (current.account, current.days_behind) == (ACCOUNT, 0)
    assert NOON <= current.fetched_at < NOON + MINUTE
    assert (late.days_behind, late.fetched_at) == (3, current.fetched_at)
    assert ResultsFailed(account=ACCOUNT) in stage.seen


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_wait_that_x_names_counts_for_all_accounts_of_the_user(stage, is_restarted):
    other = replace(a_destination_with_oauth("p2"), account="18ce5other")
    stage.x.judge.world.merge({"accounts": [{"id": other.account, "timezone": "Europe/London"}]})
    stage.in_use.destinations["p2"] = other
    stage.x.faults.append((f"/12/accounts/{ACCOUNT}", 429, {"retry-after": "7200"}))
    stage.schedule.start()
    await stage.clock.advance(MINUTE)
    if is_restarted:
        await stage.schedule.stop()
        stage.schedule = stage.new_schedule()
        stage.schedule.start()

    await stage.clock.advance(2 * HOUR - 2 * MINUTE)
    during = len(stage.x.asked)
    await stage.clock.advance(5 * MINUTE)

    assert during == 1
    assert {f"/12/accounts/{account}" for account in (ACCOUNT, other.account)} <= {
        path for _, _, path, _ in stage.x.asked[1:]
    }


async def test_only_the_leader_fetches(stage):
    stage.store.ownership = SimpleNamespace(is_leader=False, may_send=lambda: True)
    stage.schedule.start()
    await stage.clock.advance(MINUTE)
    before = len(stage.x.asked)
    stage.store.ownership = SimpleNamespace(is_leader=True, may_send=lambda: True)
    await stage.clock.advance(MINUTE)

    assert before == 0
    assert stage.x.asked


async def test_nothing_is_fetched_if_the_settings_say_so_or_nobody_has_signed_in(stage):
    stage.in_use.settings.results = replace(stage.results, fetch=False)
    stage.schedule.start()
    await stage.clock.advance(2 * HOUR)
    stage.in_use.settings.results = stage.results
    stage.in_use.destinations = {}
    await stage.clock.advance(2 * HOUR)

    assert stage.x.asked == []


async def test_alert_opens_when_nothing_is_attributed_and_resolves_afterwards(stage):
    for ago in (4, 3, 2):
        at = stage.clock.now() - ago * DAY
        day = f"2026-11-{29 - ago}"
        stage.store.delivered.append(at)
        stage.x.plant(spend=[{"line_item": "li1", "day": day, "micros": 5_000_000}])
        # Another event is attributed, so that X serves figures.
    stage.x.plant(
        clicks=[{"line_item": "li1", "at": (NOON - 4 * DAY) / SECOND, "twclid": "click9"}]
    )
    stage.schedule.start()
    await stage.clock.advance(MINUTE)
    kind = AlertKind.RESULTS_NOT_SERVED
    opened = stage.conditions(kind)

    stage.x.convert("9", at=NOON - 3 * DAY)
    await stage.clock.advance(25 * HOUR)

    assert opened == [(ACCOUNT, False), (ACCOUNT, True)]
    assert stage.conditions(kind) == [*opened, (ACCOUNT, False)]
    assert stage.conditions(AlertKind.RESULTS_EVENT_UNCOUNTED) == [(ACCOUNT, False)]


def sold(stage, *, attributed=True):
    """On each of three settled days, spend, deliver 20 purchases, and let X attribute 2 of them."""
    for ago in (4, 3, 2):
        at = NOON - ago * DAY
        stage.x.plant(
            spend=[
                {"line_item": item, "day": f"2026-11-{29 - ago}", "micros": 5_000_000}
                for item in ("li1", "li2")
            ]
        )
        stage.store.delivered += [at] * 20
        for number in (f"{ago}a", f"{ago}b") if attributed else ():
            click = {"line_item": "li1", "at": at / SECOND, "twclid": f"click{number}"}
            stage.x.plant(clicks=[click])
            assert stage.x.convert(number, at=at + HOUR) == 200


async def with_match_keys(stage, *, stops):
    """Receive 20 conversions a day, half with a click id: until three days ago, or until today."""
    today = NOON // DAY
    stage.store.matched = [
        Matched(
            source="shop",
            pixel=PIXEL,
            event=PURCHASE,
            day=today - ago,
            matching=Matching(conversions=20, click=0 if stops and ago <= 2 else 10),
        )
        for ago in range(1, 17)
    ]
    usual = UsualAmount(
        pixel=PIXEL, event=PURCHASE, currency="EUR", seen=500, center=math.log10(20)
    )
    await stage.store.put([usual])


@pytest.mark.parametrize("kind", [None, *WARNINGS])
async def test_fetch_of_each_fault_reports_its_warning_and_no_other(stage, kind):
    """What X serves, and what was delivered, are those of a fault, or of none (None)."""
    unseen = {AlertKind.RESULTS_NONE_ATTRIBUTED, AlertKind.RESULTS_NOT_SERVED}
    sold(stage, attributed=kind not in unseen)
    await with_match_keys(stage, stops=kind is AlertKind.CLICK_IDS_STOPPED)
    switches = {
        AlertKind.RESULTS_NONE_ATTRIBUTED: {"empty_conversions": "zeros"},
        AlertKind.RESULTS_AMOUNT_UNIT: {"sale_amount_unit": "money"},
    }.get(kind, {})
    stage.x.judge.switches = replace(stage.x.judge.switches, **switches)
    if kind is AlertKind.RESULTS_EVENT_UNCOUNTED:
        counted = [
            {"id": f"li{place}", "campaign": f"c{place}", "primary_web_event_tag": "o8z6m"}
            for place in (1, 2)
        ]
        stage.x.judge.world.merge({"line_items": counted})

    stage.schedule.start()
    await stage.clock.advance(MINUTE)

    holding = {each: (ACCOUNT, True) in stage.conditions(each) for each in WARNINGS}
    assert holding == {each: each is kind for each in WARNINGS}


async def test_paused_line_item_does_not_count_the_delivered_event(stage):
    sold(stage)
    await with_match_keys(stage, stops=False)
    other = [
        {"id": f"li{place}", "campaign": f"c{place}", "primary_web_event_tag": "o8z6m"}
        for place in (1, 2)
    ]
    paused = {
        "id": "li3",
        "campaign": "c1",
        "primary_web_event_tag": PURCHASE,
        "entity_status": "PAUSED",
    }
    stage.x.judge.world.merge({"line_items": [*other, paused]})

    stage.schedule.start()
    await stage.clock.advance(MINUTE)

    assert (ACCOUNT, True) in stage.conditions(AlertKind.RESULTS_EVENT_UNCOUNTED)


async def test_alert_of_an_account_that_was_removed_resolves(stage):
    sold(stage, attributed=False)
    stage.schedule.start()
    await stage.clock.advance(MINUTE)
    assert stage.conditions(AlertKind.RESULTS_NOT_SERVED)[-1] == (ACCOUNT, True)
    stage.in_use.destinations = {}
    await stage.clock.advance(HOUR)

    assert stage.conditions(AlertKind.RESULTS_NOT_SERVED)[-1] == (ACCOUNT, False)


async def test_bug_in_a_fetch_is_reported_and_does_not_end_the_schedule(stage, monkeypatch):
    monkeypatch.setattr(stage.x, "ask", lambda _inquiry: 1 / 0)
    stage.schedule.start()
    await stage.clock.advance(5 * MINUTE)

    problems = [each for each in stage.seen if type(each) is ProblemSeen]
    assert 1 < len(problems) < 10
    assert PURCHASE not in str(problems)
