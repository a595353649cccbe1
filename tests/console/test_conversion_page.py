"""The page of one conversion: its timeline, its copies, and sending it again."""

import html
import re

import aiohttp
import pytest
import pytest_asyncio
from console_stage import ConsoleStage
from problem_pages import worked_off

from builders import NOW, a_submission, an_entry
from twite.console.timeline import MOST_ATTEMPTS, TimelineEntry, timeline
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.history import History, PastAttempt
from twite.domain.joins import GainedIdentifier
from twite.domain.stats.deduplication import PixelReport
from twite.domain.submission import Endpoint
from twite.domain.times import DAY, MINUTE, spelled
from twite.domain.value_change import RuleProblem, ValueChange
from twite.gateway.ports.queries import ConversionOrigin
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

SENT = b'{"conversion_time":"%s","event_id":"o8z6k"}' % spelled(NOW - 2 * MINUTE).encode()
KEY = {"Authorization": "Bearer a-source-key-of-some-length"}


def origin(state, *, attempts=(), endpoint="native", amended=(), pixel="o8z6j", **said):
    history = History(
        delivery=7, pixel=pixel, event="o8z6k", conversion_id="order-1", state=state,
        source="shop", receipt="r1", received_at=NOW, deadline_at=NOW + 2 * DAY,
        sent=SENT, attempts=attempts, **said,
    )  # fmt: skip
    return ConversionOrigin(
        history=history, endpoint=endpoint, body=b"{}", place=0, amended=amended
    )


def attempt(after, outcome="delivered", *, status=200, **said):
    return PastAttempt(at=NOW + after, outcome=outcome, status=status, answer="{}", **said)


async def test_timeline_tells_a_conversion_from_its_own_time_to_the_answer_of_x():
    delivered = origin(
        State.DELIVERED,
        attempts=(
            attempt(MINUTE, "errored", status=None, ambiguous=True),
            attempt(2 * MINUTE, size=37),
        ),
        gained=(GainedIdentifier(identifier="email", origin="identify", at=NOW + 5),),
        duplicates=2,
    )

    entries = timeline(delivered, [PixelReport(at=NOW - MINUTE)], now=NOW + DAY)

    assert [(entry.at, entry.title) for entry in entries] == [
        (NOW - 2 * MINUTE, "The conversion happened"),
        (NOW - MINUTE, "A page sent the same id to X's pixel"),
        (NOW, "Received and stored"),
        (NOW + 5, "Gained: email became known"),
        (NOW + MINUTE, "Sent to X alone: failed"),
        (NOW + 2 * MINUTE, "Sent to X in a batch of 37: delivered"),
        (None, "2 later copies dropped"),
    ]
    assert entries[4].text == "no response came; X may have it"
    assert entries[0].text == "2 min before Twite received it"


async def test_timeline_of_a_test_names_the_emulator():
    tested = origin(
        State.DELIVERED, pixel="test:o8z6j", attempts=(attempt(1, status=None, ambiguous=True),)
    )

    entry = timeline(tested, (), now=NOW + DAY)[-1]

    assert (entry.title, entry.text) == (
        "Sent to the emulator alone: delivered",
        "no response came; the emulator may have it",
    )


@pytest.mark.parametrize(
    ("made", "last"),
    [
        (
            origin(State.QUEUED, due_at=NOW + MINUTE),
            ("Waiting", f"the next attempt is at {spelled(NOW + MINUTE)}"),
        ),
        (origin(State.QUEUED), ("Waiting", "it is next in the queue")),
        (origin(State.SENDING), ("Being sent", "")),
        (origin(State.DEAD, reason="too old"), ("Given up", "too old")),
        (
            origin(State.HELD, reason="an amount"),
            ("Held: it waits for your decision", "an amount"),
        ),
        (origin(State.SUPPRESSED, reason="no consent"), ("Not sent", "no consent")),
    ],
)
async def test_timeline_ends_with_the_present_state(made, last):
    entry = timeline(made, (), now=NOW)[-1]

    assert (entry.title, entry.text) == last


async def test_long_timeline_shows_the_latest_attempts_and_counts_the_others():
    attempts = tuple(attempt(number, "errored") for number in range(MOST_ATTEMPTS + 3))

    entries = timeline(origin(State.QUEUED, attempts=attempts), (), now=NOW + DAY)

    titles = [entry.title for entry in entries]
    assert "3 earlier attempts not shown" in titles
    assert titles.count("Sent to X alone: failed") == MOST_ATTEMPTS


async def test_users_changes_are_in_the_timeline():
    changed = origin(State.DEAD, amended=((NOW + 9, "ada: currency EUR"),))

    assert TimelineEntry(
        at=NOW + 9, title="Changed by a user", text="ada: currency EUR"
    ) in timeline(changed, (), now=NOW + DAY)


async def test_what_a_value_rule_did_is_in_the_timeline():
    change = ValueChange(
        rule="profit", before="49.90", currency_before="EUR", after="12.30", currency="EUR"
    )
    failure = ValueChange(
        rule="lead", problem=RuleProblem.NO_CURRENCY, detail="the conversion has no currency"
    )

    changed = timeline(origin(State.DELIVERED, value_change=change), (), now=NOW)[2]
    failed = timeline(origin(State.DELIVERED, value_change=failure), (), now=NOW)[2]

    assert (changed.title, changed.text) == (
        "Amount changed by a value rule",
        "profit: 49.90 EUR → 12.30 EUR",
    )
    assert (failed.title, failed.text) == (
        "A value rule failed",
        "lead failed, so nothing changed (no amount): the conversion has no currency",
    )


@pytest.mark.parametrize("endpoint", Endpoint)
async def test_each_way_in_has_words(endpoint):
    received = timeline(origin(State.DELIVERED, endpoint=endpoint), (), now=NOW)[1]

    assert received.text.startswith("from source shop, by ")
    assert not received.text.endswith(f"by {endpoint}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    with running_emulator("max_age=604800") as emulator:
        stage = ConsoleStage(tmp_path_factory.mktemp("conversion"), x=emulator.url)
        store = await SQLiteStore.open(str(stage.settings.store.path))
        other = an_entry("both-1", pixel="tag:crm", event="purchase", index=1)
        await store.record(a_submission(an_entry("both-1"), other, receipt="r-both"))
        for name in ("twice-1", "twice-2"):
            held = an_entry(name, held="it may have arrived", cause=DeliveryCause.MAY_COUNT_TWICE)
            await store.record(a_submission(held, receipt=f"r-{name}"))
        for name in ("unknown-1", "unknown-2"):
            unknown = an_entry(name, held="404 NOT_FOUND", cause=DeliveryCause.EVENT_UNKNOWN)
            await store.record(a_submission(unknown, receipt=f"r-{name}"))
        await store.close()
        await stage.start()
        old = spelled(SystemClock().now() - 8 * DAY)
        orders = [
            {
                "event": "purchase",
                "conversion_id": "order-old",
                "time": old,
                "email": "a@b.example",
            },
            {"event": "purchase", "conversion_id": "order-other", "email": "other@b.example"},
        ]
        async with (
            aiohttp.ClientSession(headers=KEY) as http,
            http.post(f"{stage.gateway.url}/v1/conversions", json={"conversions": orders}) as said,
        ):
            assert said.status == 202
        yield stage
        await stage.stop()


async def refused(stage, user):
    """Return the path of the refused order, and its page."""
    visitor = await stage.signed_in(user)
    for _ in range(200):
        path = (await visitor.get("/console/conversions?id=order-old")).location
        page = await visitor.get(path)
        if "Given up: what now?" in page.text:
            return visitor, path, page.text
    raise AssertionError("X does not refuse the order")


async def test_page_shows_only_its_own_entry_even_to_an_admin(stage):
    _, _, page = await refused(stage, "ada")

    assert "order-old" in page
    assert "order-other" not in page


async def test_copy_for_another_destination_leads_there_and_back(stage):
    ada = await stage.signed_in("ada")
    page = (await ada.get((await ada.get("/console/conversions?id=both-1")).location)).text
    link = re.search(r'<a href="([^"]+)">the same request, for another destination', page)[1]

    copy = (await ada.get(link)).text

    assert "tag:crm" in page
    assert "the same request, for another destination" in copy
    assert "<code>o8z6j</code>" in copy


async def test_operator_sends_a_refused_conversion_again(stage):
    olga = await stage.signed_in("olga")
    path = (await olga.get("/console/conversions?id=unknown-2")).location
    assert f'action="{path}/resend"' in (await olga.get(path)).text

    answer = await olga.post(f"{path}/resend")
    replay = await worked_off(olga, answer.location)
    ada = await stage.signed_in("ada")
    audit = (await ada.get("/console/people/audit")).text
    listed = (await olga.get("/console/problems")).text.split("<h2>Latest replays</h2>")[1]

    assert "Not changed" not in replay
    assert "1: unknown-2; for " in audit
    assert answer.location in listed


async def test_conversion_that_may_count_twice_is_sent_again_only_if_confirmed(stage):
    olga = await stage.signed_in("olga")
    path = (await olga.get("/console/conversions?id=twice-1")).location
    page = (await olga.get(path)).text

    await olga.post(f"{path}/resend")
    refused = (await olga.get(path)).text
    started = await olga.post(f"{path}/resend", {"may_count_twice": "yes"})
    replay = await worked_off(olga, started.location)
    sent = (await olga.get(path)).text

    assert "Send it although it may count twice: X may already have this conversion" in page
    assert "Nothing was sent: X may already have this conversion" in refused
    assert "Held: what now?" in page
    assert "Held: what now?" not in sent
    assert "Not changed" not in replay


async def test_page_of_a_resting_conversion_may_not_be_resent_by_another_sites_form(stage):
    olga = await stage.signed_in("olga")
    path = (await olga.get("/console/conversions?id=twice-2")).location

    answer = await olga.ask("POST", f"{path}/resend", body={"may_count_twice": "yes"})

    assert answer.status == 403
    assert "what now?" in (await olga.get(path)).text


async def test_page_says_what_to_do_and_offers_it_before_sending_the_same_again(stage):
    pages = {}
    for name, order in (("olga", "unknown-1"), ("vic", "unknown-1"), ("olga", "twice-2")):
        visitor = await stage.signed_in(name)
        path = (await visitor.get(f"/console/conversions?id={order}")).location
        page = (await visitor.get(path)).text
        pages[name, order] = page[page.index('id="decision"') : page.index('class="lineage"')]
    _, _, dead = await refused(stage, "olga")

    fix = "orrect events in twite.toml, run twite reload, and send with the current mapping."
    assert f"C{fix}" in pages["olga", "unknown-1"]
    assert f"An operator can do this: c{fix}" in pages["vic", "unknown-1"]
    assert "Send times with a zone" in dead
    by_class = {
        order: dict(
            re.findall(r'class="(button(?: main)?)" href="/console/problems/\w+">([^<]+)', page)
        )
        for (name, order), page in pages.items()
        if name == "olga"
    }
    assert by_class == {
        "unknown-1": {"button main": "Fix and send again"},
        "twice-2": {"button": "All with this problem"},
    }
    assert "<button>Send again unchanged" in pages["olga", "unknown-1"]


async def test_viewer_may_not_send_again(stage):
    vic, path, page = await refused(stage, "vic")

    answer = await vic.post(f"{path}/resend")

    assert "Send again" not in page
    assert answer.status == 403


async def test_conversion_that_does_not_rest_is_not_sent_again(stage):
    olga = await stage.signed_in("olga")
    path = (await olga.get("/console/conversions?id=order-other")).location

    answer = await olga.post(f"{path}/resend")

    assert "Nothing was changed" in (await olga.get(answer.location)).text


async def test_curl_names_the_masked_fields_that_it_leaves_out(stage):
    ada = await stage.signed_in("ada")
    page = (await ada.get((await ada.get("/console/conversions?id=order-other")).location)).text

    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    assert "curl -X POST 'https://t.shop.example/v1/conversions'" in text
    assert re.search(r"it leaves out\s+email_sha256", text)
