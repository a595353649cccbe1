"""Pixels that come while the gateway runs."""

import asyncio

import pytest

from twite.domain.destination import Destination, OAuthKeys
from twite.domain.secret import Secret
from twite.gateway.dispatch import Pace
from twite.gateway.notices import Silent
from twite.gateway.ports import Answer, NoAnswer, Parcel
from twite.gateway.post import Post
from twite.gateway.run import Run
from twite.gateway.steady import SteadyClock
from twite.machine import SystemClock
from twite.testing.builders import a_destination, a_submission, an_entry
from twite.testing.chance import SeededChance
from twite.testing.memory import MemoryStore
from twite.testing.transport import ScriptedTransport


class AnnouncingTransport(ScriptedTransport):
    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    async def post(self, parcel: Parcel) -> Answer | NoAnswer:
        answer = await super().post(parcel)
        self.news.set()
        return answer


class Sending:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.transport = AnnouncingTransport()
        clock = SteadyClock(SystemClock())
        chance = SeededChance()
        self.run = Run(
            destinations=[a_destination()],
            outbox=self.store,
            post=Post(
                transport=self.transport,
                clock=clock,
                chance=chance,
                api_url="https://x.example",
                version="12",
            ),
            clock=clock,
            chance=chance,
            observer=Silent(),
            pace=Pace(linger=0),
        )

    async def submit(self, conversion_id: str, pixel: str) -> None:
        entry = an_entry(conversion_id, pixel=pixel)
        await self.store.record(a_submission(entry, receipt=conversion_id, received_at=_now()))
        self.run.wake(pixel)

    async def sent(self, count: int) -> list[tuple[str, str]]:
        """Wait until so many requests went out; return (address, token of the signature)."""
        async with asyncio.timeout(5):
            while len(self.transport.sent) < count:
                self.transport.news.clear()
                await self.transport.news.wait()
        return [
            (
                one.url.rpartition("/")[2],
                one.headers.get("Authorization", "").partition('token="')[2],
            )
            for one in self.transport.sent
        ]


def _now() -> int:
    return SystemClock().now()


def lent(token: str) -> Destination:
    keys = OAuthKeys(
        consumer_key="consumer",
        consumer_secret=Secret("consumer-secret"),
        token=token,
        token_secret=Secret("token-secret"),
    )
    return Destination(pixel="p9", credentials=keys, events={})


@pytest.fixture
async def sending():
    sending = Sending()
    await sending.run.start()
    yield sending
    await sending.run.stop(within=1_000)


async def test_a_pixel_that_comes_later_is_sent_to_with_its_credentials(sending):
    sending.run.send_to(lent("first"))

    await sending.submit("order-1", "p9")

    ((pixel, token),) = await sending.sent(1)
    assert (pixel, token.partition('"')[0]) == ("p9", "first")


async def test_what_waited_for_the_pixel_is_sent_once_it_comes(sending):
    await sending.submit("order-1", "p9")

    sending.run.send_to(lent("first"))

    assert [pixel for pixel, _ in await sending.sent(1)] == ["p9"]


async def test_with_new_credentials_the_next_request_is_signed_with_them(sending):
    sending.run.send_to(lent("first"))
    await sending.submit("order-1", "p9")
    await sending.sent(1)

    sending.run.send_to(lent("second"))
    await sending.submit("order-2", "p9")

    tokens = [token.partition('"')[0] for _, token in await sending.sent(2)]
    assert tokens == ["first", "second"]


async def test_a_pixel_that_is_left_is_sent_to_no_more_until_it_comes_again(sending):
    sending.run.send_to(lent("first"))
    await sending.submit("order-1", "p9")
    await sending.sent(1)

    sending.run.leave("p9")
    sending.run.leave("p9")
    await sending.submit("order-2", "p9")
    await sending.submit("order-3", "o8z6j")
    without = [pixel for pixel, _ in await sending.sent(2)]
    sending.run.send_to(lent("second"))

    assert without == ["p9", "o8z6j"]
    assert [pixel for pixel, _ in await sending.sent(3)] == ["p9", "o8z6j", "p9"]
