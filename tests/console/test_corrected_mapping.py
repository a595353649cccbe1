"""After a wrong mapping is corrected in the settings, held deliveries use the new one."""

import asyncio
import re

import aiohttp
import msgspec
import pytest
from console_stage import SETTINGS, ConsoleStage
from problem_pages import problem_key

from builders import a_destination
from twite.domain.destination import Destination, Source
from twite.domain.secret import Secret
from twite.gateway.operations.dry_run import NO_NAME, event_today, opened
from twite_emulator.process import running_emulator

KEY = "a-source-key-of-some-length"
CORRECT = 'events = {{ purchase = "o8z6k", sign_up = "o8z6m" }}'
WRONG = 'events = {{ purchase = "o8zzz", sign_up = "o8zzy" }}'
SOURCE = f'key = "{KEY}"\n'
HIT = (
    "/g/collect?v=2&tid=G-1&cid=1.2&_p=77&_s=1&en=order_placed&ep.transaction_id=order-2"
    f"&ep.twclid=23opevjt88psuo13lu8d020qkn&dl=https%3A%2F%2Fshop.example%2F&api_secret={KEY}"
)


@pytest.mark.journey
async def test_dead_letters_are_replayed_with_the_corrected_mapping(tmp_path):
    """Tested with a server's event name, and with a tag's event name that the source maps."""
    with running_emulator() as emulator:
        wrong = SETTINGS.replace(CORRECT, WRONG)
        before = await _started(tmp_path, wrong, "sign_up", x=emulator.url)
        await _post(before, "/v1/conversions", _order("order-1"))
        await _post(before, HIT, None)
        await _until(before, held=2)
        await before.stop()
        after = await _started(tmp_path, SETTINGS, "purchase", x=emulator.url, people={})
        admin = await after.signed_in("ada")

        form = {
            "problem": await problem_key(admin, "X does not know the event"),
            "which": "all",
            "event_to": "@today",
        }
        plan = (await admin.post("/console/problems/plan", form)).text
        started = await admin.post("/console/problems/replays", form)
        await _until(after, delivered=2)
        events = emulator.counted()["pixels"]["o8z6j"]["events"]
        history = await admin.get((await admin.get("/console/conversions?id=order-2")).location)
        await after.stop()

    assert "<strong>2</strong> to purchase <code>o8z6k</code>" in plan
    assert len(re.findall(r"<div>o8zz[yz]</div>", plan)) == 2
    assert started.status == 303
    counted = {event: sorted(counts["ids"]) for event, counts in events.items() if counts["ids"]}
    assert counted == {"o8z6k": ["order-1", "order-2"]}
    assert "event as currently mapped" in history.text


@pytest.mark.parametrize(
    ("body", "events", "chosen", "mapped"),
    [
        ({"event": "Purchase"}, {"purchase": "o8z6k"}, {}, "o8z6k"),
        ({"conversions": [{}, {"event": "purchase"}]}, {"purchase": "o8z6k"}, {}, "o8z6k"),
        (
            {"conversions": [{}, {"event": "a"}], "hit": [{}, {"event_name": "bought"}]},
            {"a": "o8z6a", "b": "o8z6b"},
            {"bought": "b"},
            "o8z6b",
        ),
    ],
)
def test_console_looks_up_event_names_in_the_current_settings(body, events, chosen, mapped):
    found = _today(body, events, chosen)

    assert (found.event, found.fault) == (mapped, None)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"event": "gone"}, "the settings define no event 'gone'"),
        ({"conversions": [{}, {"event_id": "o8z6k"}]}, NO_NAME),
        (
            {"conversions": [{}, {"event": "a"}], "hit": [{}, {"event_name": "bought"}]},
            "`events` maps it to `ignore`",
        ),
    ],
)
def test_delivery_with_an_unmapped_event_stays_held_with_the_reason(body, fault):
    found = _today(body, {"a": "o8z6a"}, {"bought": "ignore"})

    assert fault in (found.fault or "")


def _pixel(events) -> Destination:
    return msgspec.structs.replace(a_destination(), events=events)


def _source(chosen) -> Source:
    return Source(
        name="shop", key=Secret(KEY), pixel="o8z6j", pixels=frozenset({"o8z6j"}), events=chosen
    )


def _today(body, events, chosen):
    return event_today(
        opened(msgspec.json.encode(body)),
        1,
        pixel="o8z6j",
        destination=_pixel(events),
        source=_source(chosen),
    )


async def _started(folder, settings, name, **said):
    """Start a gateway whose source maps the tag's event name order_placed."""
    mapped = f'{SOURCE}events = {{{{ order_placed = "{name}" }}}}\n'
    people = said.pop("people", None)
    stage = ConsoleStage(folder, settings.replace(SOURCE, mapped), **said)
    await (stage.start() if people is None else stage.start(people=people))
    return stage


def _order(name):
    return {
        "event": "purchase", "conversion_id": name, "twclid": "23opevjt88psuo13lu8d020qkn",
        "value": "49.90", "currency": "EUR",
    }  # fmt: skip


async def _post(stage, path, body):
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
        http.post(f"{stage.gateway.url}{path}", json=body) as answer,
    ):
        assert answer.status < 300, await answer.text()


async def _until(stage, **wanted):
    for _ in range(300):
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
            http.get(f"{stage.gateway.url}/v1/accounting") as answer,
        ):
            said = await answer.json()
        if all(said[name] == number for name, number in wanted.items()):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{wanted} does not come to pass: {said}")
