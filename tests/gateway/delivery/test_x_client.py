"""The client for X, and requests that must not be sent."""

from builders import a_destination
from fakes import ScriptedTransport, SeededRandomness
from twite.domain.destination import for_tests
from twite.domain.outcome import Delivered, Errored
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.x_client import NO_EMULATOR, XClient
from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.machine.system import SystemClock
from twite.senders.in_process_emulator import InProcessEmulator


async def test_gateway_without_its_lease_sends_no_request():
    transport = ScriptedTransport()
    x_client = XClient(
        transport=transport,
        clock=MonotonicClock(SystemClock()),
        randomness=SeededRandomness(),
        api_url="https://x.example",
        version="12",
        may_send=lambda: False,
    )

    _, outcome = await x_client.send(a_destination(), b"{}", count=1)

    assert transport.sent == []
    assert outcome == Errored(reason=LEASE_IS_OVER, ambiguous=False)


def a_client(transport, **more):
    clock = MonotonicClock(SystemClock())
    return XClient(
        transport=transport, clock=clock, randomness=SeededRandomness(),
        api_url="https://x.example", version="12", **more,
    )  # fmt: skip


async def test_test_conversions_never_use_the_connection_to_x():
    transport = ScriptedTransport()
    destination = for_tests(a_destination())
    emulator = InProcessEmulator([a_destination()], clock=SystemClock())
    body = (
        b'{"conversions":[{"conversion_time":"2026-12-01T10:00:00.000Z","event_id":"o8z6k",'
        b'"identifiers":[{"twclid":"abc"}],"conversion_id":"order-1"}]}'
    )

    _, none = await a_client(transport).send(destination, body, count=1)
    response, delivered = await a_client(transport, test_transport=emulator).send(
        destination, body, count=1
    )
    _, refused = await a_client(transport, test_transport=emulator).send(
        destination, body.replace(b"o8z6k", b"o0000"), count=1
    )

    assert none == Errored(reason=NO_EMULATOR, ambiguous=False)
    assert isinstance(delivered, Delivered)
    assert b"debug_id" in response.body
    assert not isinstance(refused, Delivered)
    assert transport.sent == []


async def test_gateway_without_its_lease_sends_no_test():
    emulator = InProcessEmulator([a_destination()], clock=SystemClock())
    x_client = a_client(ScriptedTransport(), test_transport=emulator, may_send=lambda: False)

    _, outcome = await x_client.send(for_tests(a_destination()), b"{}", count=1)

    assert isinstance(outcome, Errored)
    assert not outcome.ambiguous
