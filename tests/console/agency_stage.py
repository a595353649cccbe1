"""An agency with two accounts, whose conversions are in every state, and its pages."""

import asyncio
import html
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
from console_stage import SETTINGS, ConsoleStage

from builders import a_submission, an_entry
from twite.app.store_access import open_records
from twite.domain.cause import DeliveryCause
from twite.domain.pause import Cause, Pause
from twite.domain.people.users import Role
from twite.domain.submission import AcceptedConversion
from twite.domain.times import DAY
from twite.stores.sqlite import SQLiteStore
from twite_emulator.process import running_emulator

KEY = "agency-source-key-of-some-length"
SHOP = "https://shop.example"
ACCOUNTS = {"q1": "acme", "q2": "acme", "q3": "acme", "q4": "bolt", "q5": "bolt"}
PAUSED = ("q3", "q5")
PEOPLE = {
    "ada": (Role.ADMIN, None),
    "two": (Role.VIEWER, ["q1", "q2", "q4"]),
    "one": (Role.VIEWER, ["q1"]),
}
AGENCY = SETTINGS + "".join(
    f'[[pixel]]\nid = "{pixel}"\naccount = "{account}"\nevents = {{{{ purchase = "{pixel}e" }}}}\n'
    f'auth = {{{{ pixel_token = "emulator-pixel-token-{pixel}" }}}}\n'
    for pixel, account in ACCOUNTS.items()
) + (
    f'[[source]]\nname = "agency"\nkey = "{KEY}"\npixel = "q1"\n'
    'pixels = ["q1", "q2", "q3", "q4", "q5"]\n' f'origins = ["{SHOP}"]\n'
)  # fmt: skip
_COUNT = re.compile(r'<a href="(/console/[^"]+)">([\d\N{NARROW NO-BREAK SPACE}]+)</a>')
ROW = re.compile(r'<tr role="row" id="[cr][^"]+".*?</tr>', re.DOTALL)


def an_order(pixel: str, name: str, **more: str | None) -> dict[str, str | None]:
    return {
        "event": "purchase",
        "pixel": pixel,
        "conversion_id": f"{name}-{pixel}",
        "email": f"{name}@shop.alt",
    } | more


def orders_of(pixel: str) -> list[dict[str, str | None]]:
    """Return orders: two that X takes, one that it refuses, a repeated and a rejected one."""
    return [
        an_order(pixel, "taken"),
        an_order(pixel, "repeated"),
        an_order(pixel, "repeated"),
        an_order(pixel, "old", time="2020-01-01T00:00:00Z"),
        an_order(pixel, "bad", currency="EURO"),
    ]


@asynccontextmanager
async def agency_stage(
    folder: Path,
    *,
    orders_more: Sequence[Mapping[str, str | None]] = (),
    entries_more: Sequence[AcceptedConversion] = (),
    entries_of_yesterday: Sequence[AcceptedConversion] = (),
) -> AsyncIterator[ConsoleStage]:
    """Run the gateway of an agency. More orders are posted, and more entries stored, if given."""
    with running_emulator("max_age=604800") as emulator:
        emulator.add(
            pixels=[
                {"id": pixel, "account": "18ce54d4x5t", "token": f"emulator-pixel-token-{pixel}"}
                for pixel in ACCOUNTS
            ],
            events=[{"id": f"{pixel}e", "pixel": pixel} for pixel in ACCOUNTS],
        )
        stage = ConsoleStage(folder, AGENCY, x=emulator.url)
        now = time.time_ns() // 1_000_000
        store = await SQLiteStore.open(str(stage.settings.store.path))
        for pixel in PAUSED:
            await store.put([Pause(pixel=pixel, since=now, cause=Cause.USER, reason="by hand")])
        await _store_each(store, entries_of_yesterday, at=now - DAY)
        for pixel in ACCOUNTS:
            entries = [
                msgspec.structs.replace(
                    an_entry(f"held-{pixel}", pixel=pixel, event=f"{pixel}e", held="no decision",
                             cause=DeliveryCause.MAY_COUNT_TWICE),
                    key_set=0,
                ),
                an_entry(f"denied-{pixel}", pixel=pixel, event=f"{pixel}e", index=1,
                         suppressed="consent denied"),
            ]  # fmt: skip
            await store.record(
                a_submission(*entries, receipt=f"r{pixel}", source="agency", received_at=now)
            )
        # A pixel with two sources has a table of them.
        denied = an_entry("denied-till", pixel="q5", event="q5e", suppressed="consent denied")
        await store.record(a_submission(denied, receipt="till", source="till", received_at=now))
        await _store_each(store, entries_more, at=now)
        await store.close()
        await stage.start(people=PEOPLE)
        orders: list[dict[str, str | None]] = [
            order for pixel in ACCOUNTS for order in orders_of(pixel)
        ] + [*orders_more]
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
            http.post(
                f"{stage.gateway.url}/v1/conversions", json={"conversions": orders}
            ) as answer,
        ):
            assert answer.status == 202, await answer.text()
        await _settled(stage)
        try:
            yield stage
        finally:
            await stage.stop()


async def _store_each(
    store: SQLiteStore, entries: Sequence[AcceptedConversion], *, at: int
) -> None:
    for number, entry in enumerate(entries):
        await store.record(
            a_submission(entry, receipt=f"more{at}-{number}", source="agency", received_at=at)
        )


async def _settled(stage: ConsoleStage) -> None:
    for _ in range(600):
        async with open_records(stage.settings) as records:
            counts = await records.balance()
        if {each.pixel for each in counts if each.pending} == set(PAUSED):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"conversions were not sent: {counts}")


async def page_of(stage: ConsoleStage, path: str, *, name: str = "ada") -> str:
    """Return the main part of a page, once its report is prepared."""
    visitor = await stage.signed_in(name)
    while True:
        page = await visitor.get(path)
        assert page.status == 200, path
        if "The report is being prepared" not in page.text:
            return page.text.partition("<main")[2]
        await asyncio.sleep(0.05)


def number_of(text: str) -> int:
    return int(text.replace("\N{NARROW NO-BREAK SPACE}", ""))


def counts_in(text: str) -> list[tuple[str, int]]:
    """Return the (URL, number) of each count that is a link."""
    return [(html.unescape(path), number_of(many)) for path, many in _COUNT.findall(text)]
