"""Streams of changes: what they say, to whom, and how often they read the store."""

import asyncio
import hashlib
import re
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from console_stage import ConsoleStage
from msgspec.structs import replace

from fakes import MovingClock
from twite.console import render
from twite.console.pages.changes import StoreVersions
from twite.domain.alert import Acknowledgement, Alert, AlertKind, Mute, mute_subject
from twite.domain.history import ConversionCounts
from twite.domain.replay_batch import ReplayBatch
from twite.domain.stats.tally import FlowCounts
from twite.gateway.operations import problem_keys
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.queries import AttemptsQuery, FlowsQuery

pytestmark = pytest.mark.asyncio(loop_scope="module")

STATIC = render.FOLDER / "static"
NPM = Path(__file__).parents[2] / ".node/node_modules/idiomorph"
SHOP = {"Authorization": "Bearer a-source-key-of-some-length"}
EVENTS = {"Accept": "text/event-stream"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("changes"))
    await stage.start()
    yield stage
    await stage.stop()


class CountedQueries:
    """A store with one pixel's traffic, which counts its reads."""

    def __init__(self):
        self.received = self.held = 0
        self.reads = []

    async def balance(self):
        return [ConversionCounts(source="shop", pixel="o8z6j", held=self.held)]

    async def answer(self, query):
        self.reads.append(query)
        if isinstance(query, AttemptsQuery):
            return {"o8z6j": [(1, self.received)]}
        assert isinstance(query, FlowsQuery)
        return [FlowCounts(at=0, received=self.received)] if query.scope.shows("o8z6j") else []


class HeldState:
    """The state of a store: records by kind."""

    def __init__(self):
        self.records = {}

    async def load(self, kind, prefix=""):
        found = self.records.get(kind, ())
        return [each for each in found if not prefix or each.subject.startswith(prefix)]


@pytest.fixture
def queries():
    return CountedQueries()


@pytest.fixture
def state():
    return HeldState()


def an_alert(subject, **changes):
    at = {"opened_at": 1, "reported_at": 1} | changes
    return Alert(
        id=subject, kind=AlertKind.CREDENTIALS_REFUSED, subject=subject, reason="401", **at
    )


async def test_store_is_read_once_a_second_for_all_who_see_the_same(queries, state):
    clock = MovingClock()
    versions = StoreVersions(queries, state, clock)

    at_once = await asyncio.gather(*(versions.of(QueryScope()) for _ in range(5)))
    queries.received = 1
    still = await versions.of(QueryScope())
    reads = len(queries.reads)
    await clock.advance(1_000)
    later = await versions.of(QueryScope())

    assert len({*at_once, still}) == 1
    assert reads == 2  # its traffic, and its attempts
    assert later != still


async def test_version_does_not_change_for_pixels_that_the_viewer_does_not_see(queries, state):
    clock = MovingClock()
    versions = StoreVersions(queries, state, clock)
    other, own = QueryScope(pixels=frozenset({"o6dkt"})), QueryScope(pixels=frozenset({"o8z6j"}))
    before = [await versions.of(scope) for scope in (other, own)]

    queries.received = 1
    await clock.advance(1_000)
    after = [await versions.of(scope) for scope in (other, own)]

    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False]


@pytest.mark.parametrize("change", ["works on", "is cancelled", "mute"])
async def test_replay_and_mute_of_a_problem_change_the_version(queries, state, change):
    """Nothing is sent meanwhile, as if the pixel were paused."""
    clock = MovingClock()
    versions = StoreVersions(queries, state, clock)
    scope = QueryScope(pixels=frozenset({"o8z6j"}))
    batch = ReplayBatch(
        id="replay",
        at=1,
        who="olga",
        pixel="o8z6j",
        event="",
        reason="",
        edit="{}",
        confirmed_at=None,
        total=2,
        parts=2,
    )
    state.records[ReplayBatch] = [batch]
    before = await versions.of(scope)

    if change == "mute":
        subject = problem_keys.mute_subject("0123456789ab")
        state.records[Mute] = [Mute(subject=subject, until=clock.now() + 60_000, at=2, who="ada")]
    else:
        changes = {"works on": {"done": 1}, "is cancelled": {"cancelled_by": "ada"}}
        state.records[ReplayBatch] = [replace(batch, **changes[change])]
    await clock.advance(1_000)

    assert await versions.of(scope) != before


async def test_state_of_a_conversion_changes_the_version(queries, state):
    """As when a user discards some: no request to X is sent."""
    clock = MovingClock()
    versions = StoreVersions(queries, state, clock)
    scope = QueryScope(pixels=frozenset({"o8z6j"}))
    before = await versions.of(scope)

    queries.held = 1
    await clock.advance(1_000)

    assert await versions.of(scope) != before


async def test_version_changes_every_minute(queries, state):
    clock = MovingClock()
    versions = StoreVersions(queries, state, clock)
    before = await versions.of(QueryScope())

    await clock.advance(60_000)

    assert await versions.of(QueryScope()) != before


@pytest.mark.parametrize(
    "reply", [None, Acknowledgement(alert="o8z6j", at=2, who="ada"), "resolved", "muted"]
)
async def test_alert_and_replies_to_it_change_the_version_for_those_who_see_it(
    queries, state, reply
):
    clock = MovingClock()
    versions = StoreVersions(queries, state, clock)
    scopes = [QueryScope(), *(QueryScope(pixels=frozenset({name})) for name in ("o8z6j", "o6dkt"))]
    alert = an_alert("o8z6j")
    if reply is not None:
        state.records[Alert] = [alert]
    before = [await versions.of(scope) for scope in scopes]

    if reply == "resolved":
        state.records[Alert] = [an_alert("o8z6j", resolved_at=2)]
    elif reply == "muted":
        subject = mute_subject(*alert.key)
        state.records[Mute] = [Mute(subject=subject, until=clock.now() + 60_000, at=2, who="ada")]
    elif reply is None:
        state.records[Alert] = [alert]
    else:
        state.records[Acknowledgement] = [reply]
    # Less than a minute, so that nothing but the alert has changed.
    await clock.advance(1_000)
    after = [await versions.of(scope) for scope in scopes]

    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == [True, True, False]


async def test_new_conversion_is_a_change_for_those_who_see_its_pixel(stage):
    ada, client = await stage.signed_in("ada"), await stage.signed_in("client")
    async with (
        aiohttp.ClientSession(headers=EVENTS) as http,
        _stream(http, ada) as sees,
        _stream(http, client) as does_not,
    ):
        first = [await _event(stream) for stream in (sees, does_not)]
        await _post(stage, "order-1")
        second = await _event(sees)
        for_client = await does_not.content.read()

    assert first[0]["data"] == second["data"] == "changed"
    assert first[0]["id"] != second["id"]
    # At the turn of a minute, every page loads itself again.
    assert for_client.count(b"data: changed") <= 1
    assert b"order-1" not in for_client


async def test_stream_of_a_page_without_changes_says_nothing_until_it_ends(stage):
    client = await stage.signed_in("client")
    version = re.search(r"id: (\w+)", (await client.get("/console/changes")).text)[1]

    again = await client.get("/console/changes", **{"Last-Event-ID": version})

    assert "retry: 1000" in again.text
    now = re.search(r"id: (\w+)", again.text)
    assert now is None or now[1] != version


async def test_page_that_loads_itself_leaves_the_notice_to_the_page_of_the_user(stage):
    ada = await stage.signed_in("ada")
    await ada.post("/console/conversions/search", {"term": "half-an-email@"})

    background = await ada.get("/console/conversions", **{"X-Twite-Live": "1"})
    shown = await ada.get("/console/conversions")

    # The form has it, too, for what the browser cannot hash.
    assert background.text.count("Write a whole email address") == 1
    assert shown.text.count("Write a whole email address") == 2


async def test_page_without_javascript_loads_itself_only_while_it_waits(stage):
    ada = await stage.signed_in("ada")
    await _post(stage, "order-waiting")
    waiting = (await ada.get("/console/conversions?id=order-waiting")).location

    pages = [(await ada.get(path)).text for path in (waiting, "/console/conversions")]

    refresh = '<noscript><meta http-equiv="refresh" content="3"></noscript>'
    assert [refresh in page for page in pages] == [True, False]
    assert all('data-changes="/console/changes"' in page for page in pages)


async def test_idiomorph_names_its_version_and_licence():
    note = (STATIC / "idiomorph.txt").read_text()

    assert "Idiomorph 0.8.0, unchanged" in note
    assert "Zero-Clause BSD" in note


async def test_idiomorph_is_the_file_of_its_npm_package():
    if not NPM.exists():
        pytest.skip("no idiomorph of npm: make axe installs it, where there is npm")
    ours, theirs = STATIC / "idiomorph.min.js", NPM / "dist/idiomorph.min.js"

    assert _digest(ours) == _digest(theirs)
    assert (NPM / "LICENSE").read_text() in (STATIC / "idiomorph.txt").read_text()


def _digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _stream(http, visitor):
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    return http.get(f"{visitor.url}/console/changes", headers={"Cookie": cookies})


async def _event(stream):
    """Return the fields of the next event that has data."""
    fields = {}
    while True:
        line = (await stream.content.readline()).decode().rstrip("\n")
        if not line and "data" in fields:
            return fields
        name, _, value = line.partition(": ")
        fields[name] = value


async def _post(stage, conversion_id):
    order = {"event": "purchase", "conversion_id": conversion_id, "email": "a@shop.example"}
    async with (
        aiohttp.ClientSession(headers=SHOP) as http,
        http.post(f"{stage.gateway.url}/v1/conversions", json=order) as answer,
    ):
        assert answer.status == 202
