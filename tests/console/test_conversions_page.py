"""The list of conversions: every outcome, its filters, and the search for one."""

import hashlib
import html
import re
from ipaddress import ip_network

import aiohttp
import pytest
import pytest_asyncio
from console_stage import ConsoleStage

from builders import NOW
from fakes import MovingClock
from memory_store.store import MemoryStore
from twite.console.application import Console
from twite.console.pages.conversions import STATES, ConversionsPage
from twite.console.problem_finder import ProblemFinder
from twite.console.request_checks import RequestChecks
from twite.console.scope import EventNames
from twite.domain.people.users import Role, Session, User, Viewer
from twite.domain.secret import Secret
from twite.gateway.identity.authentication import AuthenticatedSession
from twite.gateway.operations.dedup_count import DedupCount
from twite.gateway.ports.events import SilentObserver
from twite.gateway.ports.listing import (
    ConversionSummary,
    ListedState,
    ListPosition,
    SummaryPage,
)
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOPBACK = [ip_network("127.0.0.0/8")]
KEY = {"Authorization": "Bearer a-source-key-of-some-length"}
EMAIL = "Shopper@Shop.example"
ORDERS = [
    {"event": "purchase", "conversion_id": "order-1", "email": EMAIL},
    {"event": "purchase", "conversion_id": "order-2", "email": "b@shop.example"},
    {"event": "sign_up", "conversion_id": "member-1", "email": "c@shop.example"},
    {"event": "purchase", "conversion_id": "order-bad", "currency": "EURO"},
]
LATEST_FIRST = ["member-1", "order-2", "order-1", "order-bad"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    with running_emulator() as emulator:
        stage = ConsoleStage(tmp_path_factory.mktemp("list"), x=emulator.url)
        await stage.start()
        url = f"{stage.gateway.url}/v1/conversions"
        async with aiohttp.ClientSession(headers=KEY) as http:
            for body in ({"conversions": ORDERS}, ORDERS[0]):
                async with http.post(url, json=body) as answer:
                    assert answer.status in {200, 202}
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def ada(stage):
    return await stage.signed_in("ada")


async def test_list_has_every_outcome(ada):
    page = (await ada.get("/console/conversions")).text

    assert ids(page) == LATEST_FIRST
    assert '<span class="badge bad">rejected</span>' in page
    assert re.search(r"\+1\s+copy", page)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=rejected", ["order-bad"]),
        ("state=duplicate", ["order-1"]),
        ("event=o8z6m", ["member-1"]),
        ("when=hour", LATEST_FIRST),
        ("when=yesterday", []),
        ("to=2020-01-01", []),
        ("from=2020-01-01&state=duplicate", ["order-1"]),
        (f"digest={hashlib.sha256(EMAIL.lower().encode()).hexdigest()}", ["order-1"]),
        ("digest=none", LATEST_FIRST),
    ],
)
async def test_filters_of_the_url_choose_the_conversions(ada, query, found):
    page = (await ada.get(f"/console/conversions?{query}")).text

    assert ids(page) == found


async def test_each_active_filter_is_a_chip_that_removes_it(ada):
    page = (await ada.get("/console/conversions?state=duplicate&event=o8z6k&when=hour")).text

    chips = re.search(r'<ul class="chips".*?</ul>', page, re.DOTALL)[0]
    assert re.findall(r'<span class="faint">([^<]+)</span> ([^<\n]+?)\s', chips) == [
        ("State", "with"), ("Event", "purchase"), ("Received", "Last"),
    ]  # fmt: skip
    assert 'href="/console/conversions?event=o8z6k&amp;when=hour"' in chips


async def test_time_range_of_the_list_is_that_of_receipt(ada):
    page = (await ada.get("/console/conversions")).text

    assert '<label>Received<select name="when"' in page


async def test_receipt_of_a_request_lists_its_conversions(ada):
    page = (await ada.get(f"/console/conversions?id={await receipt(ada)}")).text

    assert ids(page) == LATEST_FIRST


async def test_reason_leads_to_the_conversions_with_the_same_reason(ada):
    page = (await ada.get("/console/conversions?state=rejected")).text

    link = html.unescape(re.search(r'<a class="plain" href="([^"]+)"', page)[1])

    assert ids((await ada.get(link)).text) == ["order-bad"]


async def test_export_has_the_filter_of_the_page(ada):
    page = (await ada.get("/console/conversions?state=duplicate&when=hour")).text
    form = re.search(r'action="/console/conversions/export".*?</form>', page, re.DOTALL)[0]
    fields = dict(re.findall(r'name="(\w+)" value="([^"]+)"', form))
    del fields["form_token"], fields["format"]

    rows = (await ada.post("/console/conversions/export", fields)).text

    assert fields == {"state": "duplicate", "when": "hour"}
    assert "order-1" in rows
    assert "order-2" not in rows


async def test_every_listed_state_has_words():
    assert STATES.keys() == set(ListedState)


@pytest.mark.parametrize("many", [0, 1])
async def test_search_that_ended_early_says_how_far_back_it_went(many):
    page = ConversionsPage(
        destinations={},
        sources=(),
        queries=EndedQueries(many),
        finder=ProblemFinder(queries=EndedQueries(many), state=MemoryStore()),
        clock=HastyClock(NOW),
        count=DedupCount(queries=EndedQueries(many), clock=HastyClock(NOW)),
        names=EventNames({}),
    )
    console = Console(
        pages=[page],
        checks=RequestChecks(client_of=lambda _scope: "127.0.0.1", networks=LOOPBACK, url=None),
        authentication=SignedIn(),
        directory=MemoryStore().people,
        clock=MovingClock(NOW),
        observer=SilentObserver(),
        known_as="shop",
    )

    text = await get(console, "/console/conversions?event=o8z6k")

    assert re.search(r"Searched back to\s+<time", text)
    assert 'href="/console/conversions?event=o8z6k&amp;before=7" rel="next">Older</a>' in text
    assert ("at least <strong>1</strong> conversion</p>" in " ".join(text.split())) is (many == 1)
    assert ("No match yet." in text) is (many == 0)
    assert text.count('id="c8"') == many


class HastyClock(MovingClock):
    """A clock on which each look takes two seconds."""

    def elapsed(self):
        self._elapsed += 2_000
        return self._elapsed


class EndedQueries(MemoryStore):
    """A store whose searches end early, with at most one match."""

    def __init__(self, many):
        super().__init__()
        summary = ConversionSummary(
            key="c8", delivery=8, received_at=NOW, pixel="o8z6j", event="o8z6k",
            conversion_id="order-8", source="shop", endpoint="native", receipt="r",
            state=ListedState.DELIVERED, reason=None, body=b"",
        )  # fmt: skip
        self.ended = SummaryPage(
            summaries=(summary,) * many, back_to=ListPosition(7), searched_to=NOW
        )

    async def page(self, _list_query):
        return self.ended


class SignedIn:
    async def is_open(self):
        return True

    async def inside(self, _token):
        viewer = Viewer(name="vic", role=Role.VIEWER)
        session = Session(digest=b"", user="vic", begun_at=0, seen_at=0, address="", agent="")
        user = User(name="vic", role=Role.VIEWER, password=Secret(""), created_at=0, password_at=0)
        return AuthenticatedSession(viewer=viewer, session=session, user=user)


async def get(application, url):
    """Return the text of a page for a signed-in browser."""
    sent = []
    path, _, query = url.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), (b"cookie", b"twite=" + b"t" * 43)],
    }

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    return sent[1]["body"].decode()


async def receipt(visitor):
    """Return the receipt of the first request."""
    page = (await visitor.get("/console/conversions?column=conversion-id&column=receipt")).text
    return re.findall(r"<code>([0-9a-f-]{36})</code>", page)[0]


def ids(page):
    rows = page.partition("<tbody")[2].partition("</tbody>")[0]
    cells = re.findall(r'class="main id"><div>(.*?)</div>', rows, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in cells]
