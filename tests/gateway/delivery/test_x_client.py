"""The client for X, and requests that must not be sent."""

from builders import a_destination
from fakes import ScriptedTransport, SeededRandomness
from twite.domain.outcome import Errored
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.ownership import LEASE_IS_OVER
from twite.machine.system import SystemClock


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
