"""The alerts page: open alerts by cause, their history, and replies to them."""

import html
import re
import time

import pytest
import pytest_asyncio
from aiohttp import web
from console_stage import SETTINGS, ConsoleStage

from twite.domain.alert import Acknowledgement, Alert, AlertKind, Mute
from twite.domain.people.users import Role
from twite.domain.times import DAY, HOUR

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = time.time_ns() // 1_000_000
PIXELS = [f"q{number}" for number in range(17)]
REFUSED = AlertKind.CREDENTIALS_REFUSED
# What only users who see all pixels may know.
OF_OTHERS = ("o8z6j", "17 pixels", "the clock", "a source has stopped")


def an_alert(id_, kind, subject, *, reason="it failed", opened_at=NOW - HOUR, resolved_at=None):
    return Alert(
        id=id_,
        kind=kind,
        subject=subject,
        reason=reason,
        opened_at=opened_at,
        reported_at=opened_at,
        unsent_phase=None,
        resolved_at=resolved_at,
    )


ALERTS = [
    *(
        an_alert(f"r{pixel}", REFUSED, pixel, reason=f"X's response: 401: token of {pixel} expired")
        for pixel in PIXELS
    ),
    an_alert("held", AlertKind.CONVERSIONS_HELD, "o8z6j", reason="3 conversions are held"),
    an_alert("client", AlertKind.CONVERSIONS_HELD, "o6dkt", reason="1,031 conversions are held"),
    an_alert(
        "limited",
        AlertKind.EVENT_LIMITED,
        "o8z6j",
        reason="e1: X limits only this event until 2026-11-25T10:05:00.000Z: 429",
    ),
    an_alert("silent", AlertKind.SOURCE_SILENT, "shop"),
    an_alert("clock", AlertKind.CLOCK_WRONG, "clock"),
    *(
        an_alert(
            f"past{number}",
            AlertKind.PIXEL_PAUSED,
            "o8z6j" if number else "o6dkt",
            opened_at=NOW - (number + 2) * DAY,
            resolved_at=NOW - (number + 1) * DAY,
        )
        for number in range(60)
    ),
]

LINK = re.compile(r'href="(/console/alerts[^"]*#alert-[^"]*)"')


class Receiver:
    """A webhook that counts its messages and answers with a text."""

    def __init__(self, status, text):
        self.received = []
        self._answer = status, text

    async def __aenter__(self):
        async def answer(request):
            self.received.append(await request.json())
            return web.Response(status=self._answer[0], text=self._answer[1])

        app = web.Application()
        app.router.add_post("/hook", answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(self, *error):
        await self._runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path):
    stage = ConsoleStage(tmp_path)
    await stage.start()
    await stage.store.put(ALERTS)
    yield stage
    await stage.stop()


def text_of(page):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


async def opened(stage, name, path="/console/alerts"):
    page = await (await stage.signed_in(name)).get(path)
    assert page.status == 200
    return page.text


def ids_of(page, title):
    """Return the ids in the forms of the cause with a title."""
    cause = page.split(title, 1)[1]
    return re.search(r'name="alerts" value="([^"]+)"', cause)[1]


async def test_alerts_with_one_cause_are_shown_once_with_cause_remedy_and_affected(stage):
    page = await opened(stage, "ada")
    text = text_of(page)

    assert "17 pixels: X refuses the credentials" in text
    assert text.count("X refuses the credentials") == 1
    assert "Cause q0: X's response: 401: token of q0 expired; and 16 more" in text
    assert "Remedy twite check tests each credential." in text
    # A path of the documentation leads nowhere from a browser.
    assert "The documentation has more, in Alerts: credentials_refused" in text
    assert "docs/" not in page
    assert "17 subjects" in text
    assert 'href="/console/conversions?state=held&amp;pixel=o8z6j"' in page
    assert 'href="/console/sources/shop"' in page
    assert 'href="/console/problems?kind=held"' in page
    assert len(ids_of(page, "17 pixels: X refuses").split()) == 17


@pytest.mark.parametrize("path", ["/console", "/console/alerts"])
async def test_cause_of_many_names_the_subject_with_the_most_conversions(stage, path):
    page = await (await stage.signed_in("ada")).get(path)

    assert "o6dkt: 1,031 conversions are held; and 1 more" in text_of(page.text)


async def test_history_has_the_latest_resolved_alerts_by_pages(stage):
    first = await opened(stage, "ada")
    older = re.search(r'href="(/console/alerts\?before=\d+)"', first)[1]
    second = text_of(await opened(stage, "ada", older))

    assert text_of(first).count("pixel_paused") == 20
    assert second.count("pixel_paused") == 20


async def test_history_leaves_out_none_of_the_alerts_resolved_at_once(stage):
    moment = NOW - DAY // 2
    many = [
        an_alert(f"at-once-{pixel}", REFUSED, f"{pixel}-past", resolved_at=moment)
        for pixel in (*PIXELS, *(f"p{number}" for number in range(13)))
    ]
    await stage.store.put(many)
    first = await opened(stage, "ada")
    older = re.search(r'href="(/console/alerts\?before=\d+)"', first)[1]
    history = first.split('id="history"', 1)[1] + await opened(stage, "ada", older)

    assert [alert.subject for alert in many if alert.subject not in history] == []
    assert text_of(history).count("pixel_paused") == 20


@pytest.mark.parametrize("query", ["pixel=o8z6j", "account=18ce54d4x5t"])
async def test_filter_leaves_the_alerts_of_one_pixel_or_account(stage, query):
    page = await opened(stage, "ada", f"/console/alerts?{query}")
    text = text_of(page)

    assert "o8z6j: conversions are held" in text
    assert [word for word in ("o6dkt", "17 pixels", "the clock", "shop:") if word in text] == []
    assert f'href="/console/alerts?{query}&amp;before=' in page


async def test_links_of_home_keep_its_account_and_lead_to_a_cause_that_is_there(stage):
    ada = await stage.signed_in("ada")
    homes = [(await ada.get(f"/console{query}")).text for query in ("", "?account=18ce54d4x5t")]
    links = {html.unescape(link) for home in homes for link in LINK.findall(home)}

    assert {link for link in links if "?pixel=o8z6j#" in link}
    assert {link for link in links if "?account=18ce54d4x5t#" in link}
    for link in links:
        path, _, anchor = link.partition("#")
        assert f'id="{anchor}"' in (await ada.get(path)).text, link


async def test_unknown_pixel_has_no_alerts_that_are_ok(stage):
    text = text_of(await opened(stage, "client", "/console/alerts?pixel=o8z6j"))

    assert "Pixel “o8z6j” is not in twite.toml, or you may not see it." in text
    assert "No alert is open" not in text


async def test_client_sees_only_the_alerts_of_its_pixels(stage):
    page = text_of(await opened(stage, "client"))

    assert "o6dkt: conversions are held" in page
    assert page.count("pixel_paused") == 1
    assert [word for word in (*OF_OTHERS, *PIXELS) if word in page] == []


async def test_viewer_cannot_reply(stage):
    page = await opened(stage, "vic")
    viewer = await stage.signed_in("vic")

    answers = [
        (await viewer.post(f"/console/alerts/{what}", {"alerts": "held", "for": "1h"})).status
        for what in ("acknowledge", "mute", "test")
    ]

    assert "/console/alerts/mute" not in page
    assert answers == [403, 403, 403]


async def test_acknowledged_cause_stays_visible_with_who_and_is_audited(stage):
    olga = await stage.signed_in("olga")
    ids = ids_of((await olga.get("/console/alerts")).text, "17 pixels: X refuses")

    answer = await olga.post("/console/alerts/acknowledge", {"alerts": ids})

    text = text_of((await olga.get("/console/alerts")).text)
    assert answer.status == 303
    assert "Acknowledged. Reminders stop until the alert is resolved." in text
    assert re.search(r"17 pixels: X refuses the credentials.* acknowledged by olga", text)
    assert len(await stage.store.load(Acknowledgement)) == 17
    [audited] = [
        entry.audit_event
        for entry in await stage.store.people.audit(limit=9)
        if entry.audit_event.what == "alert.acknowledge"
    ]
    assert (audited.who, audited.subject) == ("olga", "credentials_refused")


@pytest.mark.parametrize(
    ("what", "fields"),
    [("acknowledge", {}), ("mute", {"for": "1h"}), ("mute", {"for": "a while"})],
)
@pytest.mark.parametrize(
    "query", ["pixel=o8z6j", "account=18ce54d4x5t", "pixel=o8z6j&before=9999999999999"]
)
async def test_reply_keeps_the_filter_and_the_place_of_the_page(stage, query, what, fields):
    olga = await stage.signed_in("olga")
    path = f"/console/alerts?{query}"
    page = (await olga.get(path)).text.partition("conversions are held")[2]
    [action, *_] = re.findall(rf'action="(/console/alerts/{what}[^"]*)"', page)

    answer = await olga.post(html.unescape(action), {"alerts": "held"} | fields)

    assert answer.location == path


async def test_reply_leads_to_no_other_page(stage):
    olga = await stage.signed_in("olga")

    answer = await olga.post("/console/alerts/mute?next=//evil.example&pixel=//evil.example/%0d%0a")

    assert answer.location == "/console/alerts?pixel=%2F%2Fevil.example%2F%0D%0A"


async def test_mute_lasts_until_its_time_or_until_it_is_ended(stage):
    olga = await stage.signed_in("olga")

    await olga.post("/console/alerts/mute", {"alerts": "held", "for": "8h"})
    muted = text_of((await olga.get("/console/alerts")).text)
    [mute] = await stage.store.load(Mute)
    await olga.post("/console/alerts/mute", {"alerts": "held", "for": "8h", "end": "1"})

    assert "Muted for 8 hours." in muted
    assert re.search(r"2 pixels: conversions are held.* partly muted until .* by olga", muted)
    assert mute.subject == "alert/conversions_held/o8z6j"
    assert 7 * HOUR < mute.until - NOW < 9 * HOUR
    assert list(await stage.store.load(Mute)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"alerts": "held", "for": "a while"},
        {"alerts": "held"},
        {"alerts": "past3", "for": "1h"},
        {"alerts": "", "for": "1h"},
        {"alerts": "unknown", "for": "1h"},
    ],
)
async def test_mute_of_nothing_or_for_no_time_changes_nothing(stage, fields):
    olga = await stage.signed_in("olga")

    await olga.post("/console/alerts/mute", fields)

    assert "Nothing was changed" in (await olga.get("/console/alerts")).text
    assert list(await stage.store.load(Mute)) == []


async def test_operator_of_one_pixel_cannot_reply_to_alerts_about_others(tmp_path):
    stage = ConsoleStage(tmp_path)
    await stage.start(people={"cleo": (Role.OPERATOR, ["o6dkt"]), "ada": (Role.ADMIN, None)})
    await stage.store.put(ALERTS)
    cleo = await stage.signed_in("cleo")

    await cleo.post("/console/alerts/acknowledge", {"alerts": "held client clock"})
    await cleo.post("/console/alerts/test")
    page = (await cleo.get("/console/alerts")).text

    replied = [reply.alert for reply in await stage.store.load(Acknowledgement)]
    await stage.stop()
    assert replied == ["client"]
    assert "Send a test" not in page


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, "accepted the test message: 200 fine"), (404, "did not accept the test message: 404")],
)
async def test_test_message_shows_the_answer_of_the_webhook(tmp_path, status, said):
    async with Receiver(status, "fine") as receiver:
        settings = SETTINGS + f'[alerts]\nwebhook = "{receiver.url}"\n'
        stage = ConsoleStage(tmp_path, settings)
        await stage.start()
        olga = await stage.signed_in("olga")
        assert "Send a test to the webhook" in (await olga.get("/console/alerts")).text

        await olga.post("/console/alerts/test")
        text = text_of((await olga.get("/console/alerts")).text)

        await stage.stop()
        assert f"The webhook {said}" in text
        assert [message["event"] for message in receiver.received] == ["test"]


async def test_times_in_reasons_are_in_the_viewers_zone(stage):
    ada = await stage.signed_in("ada")
    ada.cookies["twite-zone"] = "Asia/Kathmandu"

    for path in ("/console/alerts", "/console"):
        page = re.sub(r"\s+", " ", (await ada.get(path)).text)
        assert "10:05:00.000Z" not in page, path
        assert re.search(r"until <time [^>]+10:05:00 UTC[^>]+>2026-11-25 15:50:00<", page), path
