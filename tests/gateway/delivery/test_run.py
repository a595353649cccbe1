"""Pixels that are added while the gateway runs."""

import asyncio

import pytest
from msgspec.structs import replace

from builders import a_destination, a_submission, an_entry
from fakes import ScriptedTransport, SeededRandomness
from memory_store.store import MemoryStore
from twite.domain.destination import Destination, OAuthKeys
from twite.domain.secret import Secret
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.runner import DeliveryRunner
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import SilentObserver
from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response
from twite.machine.system import SystemClock


class AnnouncingTransport(ScriptedTransport):
    def __init__(self) -> None:
        super().__init__()
        self.news = asyncio.Event()

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        answer = await super().post(outbound)
        self.news.set()
        return answer


class Sending:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.transport = AnnouncingTransport()
        clock = MonotonicClock(SystemClock())
        randomness = SeededRandomness()
        self.run = DeliveryRunner(
            destinations=[a_destination()],
            outbox=self.store,
            x_client=XClient(
                transport=self.transport,
                clock=clock,
                randomness=randomness,
                api_url="https://x.example",
                version="12",
            ),
            clock=clock,
            randomness=randomness,
            observer=SilentObserver(),
            worker_config=WorkerConfig(linger=0),
        )

    async def submit(self, conversion_id: str, pixel: str) -> None:
        entry = an_entry(conversion_id, pixel=pixel)
        await self.store.record(a_submission(entry, receipt=conversion_id, received_at=_now()))
        self.run.wake(pixel)

    async def sent(self, count: int) -> list[tuple[str, str]]:
        """Wait for this number of requests; return (URL, token of the signature)."""
        async with asyncio.timeout(5):
            while len(self.transport.sent) < count:
                self.transport.news.clear()
                await self.transport.news.wait()
        return [
            (
                request.url.rpartition("/")[2],
                request.headers.get("Authorization", "").partition('token="')[2],
            )
            for request in self.transport.sent
        ]


def _now() -> int:
    return SystemClock().now()


def tag_credentials(token: str) -> Destination:
    keys = OAuthKeys(
        consumer_key="consumer",
        consumer_secret=Secret("consumer-secret"),
        token=token,
        token_secret=Secret("token-secret"),
    )
    return Destination(pixel="p9", credentials=keys, events={})


def of_account(account: str, pixel: str, *, rate: int = 1) -> Destination:
    """Return a pixel of an account that may send this many conversions."""
    return replace(a_destination(pixel=pixel, rate=rate), account=account)


@pytest.fixture
async def sending():
    sending = Sending()
    await sending.run.start()
    yield sending
    await sending.run.stop(within=1_000)


async def test_pixel_added_later_is_sent_to_with_its_credentials(sending):
    sending.run.send_to(tag_credentials("first"))

    await sending.submit("order-1", "p9")

    ((pixel, token),) = await sending.sent(1)
    assert (pixel, token.partition('"')[0]) == ("p9", "first")


async def test_deliveries_queued_for_a_pixel_are_sent_when_it_is_added(sending):
    await sending.submit("order-1", "p9")

    sending.run.send_to(tag_credentials("first"))

    assert [pixel for pixel, _ in await sending.sent(1)] == ["p9"]


async def test_next_request_is_signed_with_new_credentials(sending):
    sending.run.send_to(tag_credentials("first"))
    await sending.submit("order-1", "p9")
    await sending.sent(1)

    sending.run.send_to(tag_credentials("second"))
    await sending.submit("order-2", "p9")

    tokens = [token.partition('"')[0] for _, token in await sending.sent(2)]
    assert tokens == ["first", "second"]


async def test_removed_pixel_is_sent_to_again_when_it_is_added_again(sending):
    sending.run.send_to(tag_credentials("first"))
    await sending.submit("order-1", "p9")
    await sending.sent(1)

    sending.run.leave("p9")
    sending.run.leave("p9")
    await sending.submit("order-2", "p9")
    await sending.submit("order-3", "o8z6j")
    without = [pixel for pixel, _ in await sending.sent(2)]
    sending.run.send_to(tag_credentials("second"))

    assert without == ["p9", "o8z6j"]
    assert [pixel for pixel, _ in await sending.sent(3)] == ["p9", "o8z6j", "p9"]


async def test_pixel_added_by_a_reload_shares_the_rate_limit_of_its_account(sending):
    sending.run.replace([of_account("a", "p1")])
    await sending.submit("first", "p1")
    await sending.sent(1)
    sending.run.replace([of_account("a", pixel) for pixel in ("p1", "p2", "p3")])
    await sending.submit("second", "p2")
    await sending.submit("third", "p3")
    sending.run.replace([*sending.run.destinations, a_destination()])
    await sending.submit("other", "o8z6j")

    # The limit of one is spent, so only the pixel of another account sends.
    assert [pixel for pixel, _ in await sending.sent(2)] == ["p1", "o8z6j"]


async def test_pixel_whose_account_changes_shares_the_rate_limit_of_the_new_one(sending):
    sending.run.replace([of_account("a", "p1", rate=9), of_account("b", "p2", rate=9)])
    for pixel in ("p1", "p2"):
        await sending.submit(f"first-{pixel}", pixel)
    await sending.sent(2)
    before = limits_of(sending, "p1", "p2")

    sending.run.replace([of_account("b", "p1", rate=9), of_account("b", "p2", rate=9)])
    await sending.submit("second", "p1")
    sent = [pixel for pixel, _ in await sending.sent(3)]
    after = limits_of(sending, "p1", "p2")

    assert sent[2] == "p1"
    assert before[0] is not before[1]
    assert after[0] is after[1] is before[1]


def limits_of(sending, *pixels):
    return [sending.run._workers[pixel].rate_limit for pixel in pixels]  # noqa: SLF001


async def test_unchanged_pixels_keep_their_workers(sending):
    before = dict(sending.run._workers)  # noqa: SLF001

    sending.run.replace([a_destination(), tag_credentials("first")])
    sending.run.replace([a_destination()])

    assert dict(sending.run._workers) == before  # noqa: SLF001
