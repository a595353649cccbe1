"""A user of one pixel requests another pixel's data on every route, and finds nothing.

The routes come from the console's table, so new routes are tested, too.
"""

import asyncio
import itertools
import re
from hashlib import sha256
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio
from console_stage import PASSWORD, ConsoleStage

from fakes import PlainPasswords
from twite.app.store_access import open_staff
from twite.domain.alert import Alert, AlertKind
from twite.domain.people.users import KeyScope, Role
from twite.stores.sqlite import SQLiteStore
from twite_emulator.process import running_emulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

OURS, THEIRS, SHARED = (f"a-key-of-{name}-that-is-long" for name in ("ours", "theirs", "shared"))
SETTINGS = """
[server]
listen = "127.0.0.1:0"
secret_key = "{secret}"
[store]
url = "sqlite:twite.db"
[x]
api_url = "{x}"
oauth_url = "{x}"
[log]
level = "error"
[[pixel]]
id = "o6dkt"
auth = {{ pixel_token = "emulator-pixel-token-o6dkt" }}
events = {{ purchase = "o6dkv" }}
[[pixel]]
id = "o8z6j"
auth = {{ pixel_token = "emulator-pixel-token-o8z6j" }}
events = {{ rival_event = "o8z6k" }}
[[source]]
name = "client"
key = "a-key-of-ours-that-is-long"
pixel = "o6dkt"
[[source]]
name = "rivalshop"
key = "a-key-of-theirs-that-is-long"
pixel = "o8z6j"
[[source]]
name = "o6dkt"
key = "a-key-of-a-namesake-that-is-long"
pixel = "o8z6j"
[[source]]
name = "agency"
key = "a-key-of-shared-that-is-long"
pixel = "o6dkt"
pixels = ["o8z6j"]
"""
PEOPLE = {
    "ada": (Role.ADMIN, None),
    "vic": (Role.VIEWER, ["o6dkt"]),
    "olga": (Role.OPERATOR, ["o6dkt"]),
}
# What a user of only o6dkt may not see: names, ids, amounts, reasons, and alert texts.
HIDDEN = (
    "rival_event",
    "rivalshop",
    "rival-order",
    "31337.31",
    "secret reason of an alert",
    "gadget-of-the-rival",
)
# Parameters of URLs and forms, and the other pixel's data that they refer to.
FOREIGN = {
    "pixel": "o8z6j",
    "session": "latest",
    "event": "o8z6k",
    "source": "rivalsh",
    "reason": "400",
    "state": "dead",
    "id": "rival-orde",
    "conversion_id": "rival-orde",
    "span": "month",
    "days": "90",
    "after": "0",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agency(tmp_path_factory):
    """A gateway with conversions of two pixels, dead letters, an alert, and a batch of both."""
    with running_emulator("max_age=604800") as emulator:
        stage = ConsoleStage(
            tmp_path_factory.mktemp("own"), SETTINGS, passwords=PlainPasswords(), x=emulator.url
        )
        store = await SQLiteStore.open(str(stage.settings.store.path))
        await store.put([_silent("rivalshop"), _silent("o6dkt")])
        await store.close()
        await stage.start(people=PEOPLE)
        own = [{"event": "purchase", "conversion_id": "our-order", "email": "a@shop.example"}]
        theirs = [
            _rival_order("rival-order-1"),
            _rival_order("rival-order-2", time="2020-01-01T00:00:00Z"),
        ]
        await _submit(stage, OURS, own)
        await _submit(stage, THEIRS, theirs)
        mixed = {**own[0], "conversion_id": "our-mixed-order"}
        await _submit(stage, SHARED, [_rival_order("rival-order-3", pixel="o8z6j"), mixed])
        await _settled(stage)
        yield stage
        await stage.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def numbers(agency):
    """The numbers of the other pixel's conversions, and of the user's own one in the batch."""
    ada = await agency.signed_in("ada")
    page = (await ada.get("/console/conversions")).text
    rows = re.findall(r'href="/console/conversions/(\d+)">([\w-]+)</a>', page)
    return {name: number for number, name in rows}


async def test_admin_sees_the_data_that_is_hidden_from_others(agency, numbers):
    ada = await agency.signed_in("ada")
    pages = [
        await ada.get(path)
        for path in (
            "/console",
            "/console/conversions",
            "/console/pixels",
            "/console/problems",
        )
    ]

    seen = "".join(page.text for page in pages)
    history = await ada.get(f"/console/conversions/{numbers['rival-order-1']}")
    assert [word for word in HIDDEN if word not in seen + history.text] == []


@pytest.mark.parametrize("name", ["vic", "olga"])
async def test_no_route_shows_data_of_a_hidden_pixel(agency, numbers, name):
    visitor = await agency.signed_in(name)

    reported = []
    for route in agency.routes:
        if route.path == "/console/sign-out":
            continue
        for foreign in _parameters(numbers):
            path = _with_parameters(route.path, foreign)
            if route.method == "GET":
                answer = await visitor.get(f"{path}?{urlencode(foreign)}")
            else:
                fields = foreign | {"delivery": numbers["rival-order-2"], "which": "all"}
                answer = await visitor.post(path, fields)
            reported += [
                (route.method, path, word)
                for word in HIDDEN
                if word in answer.text + answer.location
            ]
            if answer.status >= 500:
                reported.append((route.method, path, answer.status))

    assert reported == []


@pytest.mark.parametrize("name", ["vic", "olga"])
async def test_request_for_hidden_data_gets_the_response_for_missing_data(agency, numbers, name):
    visitor = await agency.signed_in(name)
    foreign = FOREIGN | {"delivery": numbers["rival-order-2"], "number": "1"}
    nothing = foreign | {"pixel": "o0000", "event": "o0001", "delivery": "999999999"}

    different = []
    for route in agency.routes:
        # Signing in and out does not depend on a pixel, and repeated sign-ins are throttled.
        if route.path in {"/console/sign-out", "/console/sign-in"}:
            continue
        answers = []
        for asked in (foreign, nothing):
            path = _with_parameters(route.path, asked)
            answer = (
                await visitor.get(f"{path}?{urlencode(asked)}")
                if route.method == "GET"
                else await visitor.post(path, asked)
            )
            answers.append((answer.status, _unnamed(answer.location, asked)))
        if answers[0] != answers[1]:
            different.append((route.method, route.path, answers))

    assert different == []


async def test_conversion_of_a_batch_shows_no_other_conversion_of_the_request(agency, numbers):
    vic, ada = await agency.signed_in("vic"), await agency.signed_in("ada")
    path = f"/console/conversions/{numbers['our-mixed-order']}"

    pages = [(await user.get(path)).text for user in (vic, ada)]

    assert all("our-mixed-order" in page for page in pages)
    assert [word for page in pages for word in ("rival-order", *HIDDEN) if word in page] == []


async def test_export_contains_only_visible_pixels(agency):
    olga = await agency.signed_in("olga")

    answers = [
        await olga.post("/console/conversions/export", fields)
        for fields in ({}, {"pixel": "o8z6j"}, {"state": "dead"}, {"event": "o8z6k"})
    ]

    assert [answer.status for answer in answers] == [200] * 4
    assert "our-order" in answers[0].text
    assert not any("rival" in answer.text for answer in answers)


async def test_only_an_admin_creates_keys_or_users(agency):
    olga = await agency.signed_in("olga")

    answers = [
        await olga.post(
            "/console/people/keys",
            {"own": PASSWORD, "name": "all", "scope": "history", "sees": "all"},
        ),
        await olga.post(
            "/console/people/users/olga/role", {"own": PASSWORD, "role": "operator", "sees": "all"}
        ),
        await olga.post("/console/system/checks"),
        await olga.get("/console/people/audit"),
    ]

    assert [answer.status for answer in answers] == [403] * 4


@pytest.mark.parametrize("who", ["a program's key", "a source's key"])
async def test_api_key_for_one_pixel_shows_no_other_pixel_on_any_route(agency, who):
    key = OURS
    if who == "a program's key":
        scopes = [KeyScope.HISTORY, KeyScope.ACCOUNTING, KeyScope.DEDUPLICATION]
        async with open_staff(agency.settings, passwords=agency.passwords) as user_accounts:
            made = await user_accounts.make_key(
                "reports", scopes=scopes, pixels=["o6dkt"], by="test"
            )
        key = made.text.reveal()

    answers = {
        path: await agency.browser().get(path, Authorization=f"Bearer {key}")
        for path in (
            "/v1/accounting",
            "/v1/deduplication?days=90",
            "/v1/conversions/o8z6j/rival-order-1",
            "/v1/conversions/o8z6j/rival-order-1?event=rival_event",
            "/v1/conversions/o6dkt/rival-order-1",
        )
    }

    assert [path for path, answer in answers.items() if "rival" in answer.text] == []
    assert {answers[path].status for path in answers if "/conversions/" in path} == {404}
    assert "o8z6j" not in answers["/v1/accounting"].text + answers["/v1/deduplication?days=90"].text


async def test_history_masks_identifiers_of_the_conversion(agency):
    olga = await agency.signed_in("olga")
    person = {
        "email": "someone@shop.example",
        "phone": "+442079460958",
        "twclid": "23opevjt88psuo13lu8d020qkn",
        "ip": "203.0.113.77",
        "user_agent": "Mozilla/5.0 (a machine of one's own)",
    }

    sent = await olga.post(
        "/console/pixels/o6dkt/try", {"source": "client", "event": "purchase", **person}
    )
    page = (await olga.get(sent.location)).text

    hashes = [sha256(person[name].encode()).hexdigest() for name in ("email", "phone")]
    assert hashes[0][:8] in page
    assert [text for text in (*person.values(), *hashes) if text in page] == []


def _rival_order(conversion_id, **more):
    return {
        "event": "rival_event",
        "conversion_id": conversion_id,
        "email": "b@shop.example",
        "value": "31337.31",
        "currency": "EUR",
        "contents": [{"id": "gadget-of-the-rival"}],
        **more,
    }


def _silent(subject):
    return Alert(
        id=f"silent-{subject}",
        kind=AlertKind.SOURCE_SILENT,
        subject=subject,
        reason="the secret reason of an alert",
        opened_at=1,
        reported_at=1,
    )


def _parameters(numbers):
    """Yield the parameters: all together, then one at a time."""
    everything = FOREIGN | {"delivery": numbers["rival-order-2"]}
    yield everything
    for name in ("pixel", "event", "source", "reason", "state", "id"):
        yield {name: everything[name], "delivery": numbers["rival-order-1"]}


def _with_parameters(path, asked):
    parts = {
        "source": "rivalshop",
        "problem": "0123456789ab",
        "replay": "none",
        "name": "ada",
        "id": "k1",
        "session": "latest",
        "token": "unknown",
    } | {
        "delivery": "1",
        "source": "client",
        "pixel": "o8z6j",
        "event": "o8z6k",
    }
    parts |= {"conversion_id": "rival-orde"} | asked
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda part: str(parts[part[1]]), path)


def _unnamed(text, asked):
    for name in itertools.chain(("pixel", "event", "delivery")):
        text = text.replace(str(asked[name]), name)
    return text


async def _submit(stage, key, conversions):
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http,
        http.post(
            f"{stage.gateway.url}/v1/conversions", json={"conversions": conversions}
        ) as answer,
    ):
        assert answer.status == 202, await answer.text()


async def _settled(stage):
    ada = await stage.signed_in("ada")
    for _ in range(300):
        page = await ada.get("/console/conversions?state=queued")
        sending = await ada.get("/console/conversions?state=sending")
        if "order" not in _rows(page.text) + _rows(sending.text):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the orders do not land")


def _rows(page):
    return page.partition("<tbody")[2].partition("</tbody>")[0]
