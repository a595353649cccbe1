"""An ads account at the emulated X, in the same process, with a clock that tests move."""

import asyncio
import gzip
from email.utils import formatdate
from random import Random
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import ZoneInfo

import msgspec

from builders import a_destination_with_oauth
from fakes import MovingClock, SeededRandomness
from memory_store.state import MemoryState
from twite.domain.results.account_days import days_until
from twite.domain.results.figures import AttributedSum, DeliveredEvent
from twite.domain.times import DAY, HOUR, MINUTE, SECOND, spelled
from twite.gateway.ports.transport import NoResponse, Response
from twite.gateway.rate_limiter import RateLimiter
from twite.gateway.results.back_fill import FetchBasis
from twite.gateway.results.fetch import ResultsFetch
from twite.gateway.results.records import load_account, load_days
from twite.gateway.x_account.ads_statistics import AdsStatistics
from twite.gateway.x_account.inquiries import XInquiryAddress
from twite.gateway.x_account.patient_inquiries import PatientInquiries, request_budget
from twite.x.inquiry import Inquiry
from twite_emulator.analytics.truth import truth
from twite_emulator.exchange import XRequestReceived
from twite_emulator.judge import Judge
from twite_emulator.switches import parsed

ACCOUNT = "18ce54d4x5t"
URL = "https://ads-api.x.com"
PIXEL = "o8z6j"
PURCHASE = "o8z6k"
NOON = 1_795_953_600_000  # 2026-11-29T12:00Z
STATS = f"/12/stats/accounts/{ACCOUNT}"
JOBS = f"/12/stats/jobs/accounts/{ACCOUNT}"
ACTIVE = f"{STATS}/active_entities"


class EmulatedX:
    """Answers inquiries as X does. Each of `faults` answers one request to a matching path."""

    def __init__(self, clock: MovingClock, *switches: str, timezone: str = "Europe/London") -> None:
        self._clock = clock
        self.judge = Judge(
            switches=parsed(switches), clock=lambda: clock.now() / SECOND, randomness=Random(7)
        )
        self.judge.world.merge(
            {
                "accounts": [{"id": ACCOUNT, "timezone": timezone}],
                "campaigns": [
                    {"id": "c1", "funding_instrument": "lygyi", "name": "Autumn"},
                    {"id": "c2", "funding_instrument": "lygyi", "name": "Winter"},
                ],
                "line_items": [
                    {"id": "li1", "campaign": "c1", "primary_web_event_tag": PURCHASE},
                    {"id": "li2", "campaign": "c2", "primary_web_event_tag": PURCHASE},
                ],
            }
        )
        self.faults: list[tuple[str, int, dict[str, str]]] = []
        # (time, method, path, status) of each request.
        self.asked: list[tuple[int, str, str, int]] = []
        self.queries: list[tuple[str, dict[str, str]]] = []

    async def ask(self, inquiry: Inquiry) -> Response | NoResponse:
        parts = urlsplit(inquiry.url)
        now = self._clock.now()
        self.queries.append((parts.path, dict(parse_qsl(parts.query))))
        fault = next((fault for fault in self.faults if fault[0] in parts.path), None)
        if fault is not None:
            self.faults.remove(fault)
            answered = Response(status=fault[1], headers=dict(fault[2]), body=b"")
        else:
            answer = self.judge.answer(
                XRequestReceived(
                    method=inquiry.method,
                    url=f"{parts.scheme}://{parts.netloc}{parts.path}",
                    path=parts.path,
                    query=parts.query,
                    headers={name.lower(): text for name, text in inquiry.headers.items()}
                    | {"host": parts.netloc},
                    body=inquiry.body,
                )
            ).answer
            headers = {name.lower(): text for name, text in answer.headers}
            is_packed = headers.pop("content-encoding", "") == "gzip"  # an HTTP client unpacks it
            body = gzip.decompress(answer.body) if is_packed else answer.body
            answered = Response(status=answer.status, headers=headers, body=body)
        self.asked.append((now, inquiry.method, parts.path, answered.status))
        dated = {"date": formatdate(now / SECOND, usegmt=True)} | dict(answered.headers)
        return msgspec.structs.replace(answered, headers=dated)

    def plant(self, **ads: object) -> None:
        self.judge.ads.plant(ads, self.judge.world, at=self._clock.now() / SECOND)

    def convert(self, number: str, *, at: int, event: str = PURCHASE, **fields: object) -> int:
        """Send a conversion with a pixel token, and return X's status."""
        conversion = {
            "conversion_time": spelled(at),
            "event_id": event,
            "identifiers": [{"twclid": f"click{number}"}],
            "conversion_id": f"order-{number}",
            "value": "20.00",
            "price_currency": "EUR",
        } | fields
        return self.judge.answer(
            XRequestReceived(
                method="POST",
                url=f"{URL}/12/measurement/conversions/{PIXEL}",
                path=f"/12/measurement/conversions/{PIXEL}",
                headers={
                    "host": "ads-api.x.com",
                    "content-type": "application/json",
                    "x-pixel-token": f"emulator-pixel-token-{PIXEL}",
                },
                body=msgspec.json.encode({"conversions": [conversion]}),
            )
        ).answer.status

    def truth(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """(attributed purchases, sale amount, spend) by day and campaign."""
        found: dict[tuple[str, str], tuple[int, int, int]] = {}
        for row in truth({"account": ACCOUNT}, self.judge.state())["rows"]:
            bought = row["events"].get("PURCHASE", {"attributed": 0, "sale_amount_micro": 0})
            key = str(row["day"]), row["campaign"]
            found[key] = (
                bought["attributed"],
                bought["sale_amount_micro"],
                row["spend_micro"],
            )
        return {key: values for key, values in found.items() if any(values)}


class CountedDeliveries:
    """Answers how many conversions were delivered; `delivered` has their times."""

    def __init__(self) -> None:
        self.delivered: list[int] = []

    async def answer(self, query):
        count = sum(query.since <= at < query.until for at in self.delivered)
        return [DeliveredEvent(pixel=PIXEL, event=PURCHASE, count=count)] if count else []


class FetchStage:
    """Fetches the results of ACCOUNT from an emulated X into a store in memory."""

    def __init__(
        self,
        *switches: str,
        now: int = NOON,
        timezone: str = "Europe/London",
        history: int = 30,
        budget: RateLimiter | None = None,
    ) -> None:
        self.clock = MovingClock(now)
        self.x = EmulatedX(self.clock, *switches, timezone=timezone)
        self.state = MemoryState()
        self.deliveries = CountedDeliveries()
        self.leads = True
        self.budget = budget or request_budget()
        self._history = history
        self._randomness = SeededRandomness()

    def fetch(self) -> ResultsFetch:
        fetch: ResultsFetch
        patient = PatientInquiries(
            inquiries=self.x,
            clock=self.clock,
            randomness=self._randomness,
            address=XInquiryAddress(api_url=URL, oauth_url=URL, version="12"),
            user="a user",
            budget=self.budget,
            leads=lambda: self.leads,
            note_wait=lambda wait: fetch.note_wait(wait),  # noqa: PLW0108  it is made below
        )
        keys = a_destination_with_oauth().credentials
        fetch = ResultsFetch(
            ACCOUNT,
            AdsStatistics(patient, keys, ACCOUNT),
            [PIXEL],
            FetchBasis(
                state=self.state,
                queries=self.deliveries,
                clock=self.clock,
                history=self._history,
                history_kept=30 * DAY,
            ),
        )
        return fetch

    async def run(self) -> bool:
        """Fetch what is due; time passes while the fetch waits."""
        task = asyncio.create_task(self.fetch().run())
        # A file is decompressed in a thread.
        async with asyncio.timeout(60):
            while not task.done():
                await asyncio.sleep(0)
                if self.clock.waits:
                    await self.clock.advance(SECOND)
        return task.result()

    async def pass_time(self, ms: int, *, step: int = HOUR) -> None:
        """Let time pass, and fetch what is due after each step, also while jobs are processed."""
        end = self.clock.now() + ms
        while self.clock.now() < end:
            await self.clock.advance(min(step, end - self.clock.now()))
            await self.run()
            while (await load_account(self.state, ACCOUNT)).jobs and step >= HOUR:
                await self.clock.advance(MINUTE)
                await self.run()

    async def account(self):
        return await load_account(self.state, ACCOUNT)

    async def days(self):
        days = days_until(self.clock.now(), 120, ZoneInfo((await self.account()).zone))
        return {day.day: day for day in await load_days(self.state, ACCOUNT, days)}

    async def figures(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """As EmulatedX.truth, from the store."""
        found: dict[tuple[str, str], tuple[int, int, int]] = {}
        for name, day in (await self.days()).items():
            for campaign in {cell.campaign for cell in day.cells}:
                whole = AttributedSum.of(cell for cell in day.cells if cell.campaign == campaign)
                bought = whole.figure("PURCHASE")
                values = (bought.count or 0, bought.sale_amount or 0, whole.spend_micro or 0)
                if any(values):
                    found[name, campaign] = values
        return found


def planted(stage, *, ago=1, number="1", line_item="li1", placement="ALL_ON_TWITTER"):
    """A click, a purchase two hours later and spend, some days ago."""
    at = stage.clock.now() - ago * DAY - 6 * HOUR
    stage.x.plant(
        clicks=[
            {
                "line_item": line_item,
                "at": at / SECOND,
                "twclid": f"click{number}",
                "placement": placement,
            }
        ],
    )
    status = stage.x.convert(number, at=at + 2 * HOUR)
    assert status == 200


def spent(stage, day, micros, *, line_item="li1", placement="ALL_ON_TWITTER"):
    stage.x.plant(
        spend=[{"line_item": line_item, "day": day, "micros": micros, "placement": placement}]
    )


def asked(stage, path=STATS):
    return [at for at, _, where, _ in stage.x.asked if where == path]
