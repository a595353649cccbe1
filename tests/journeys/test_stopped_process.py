"""A gateway is stopped with SIGSTOP for longer than the timeout of its requests, and continued."""

import os
import signal
import time

import pytest
from gateway_processes import Gateway, wait_for

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
STOPPED = 200 if TRIAL else 7  # seconds; the timeout is 5 s
CONVERSIONS = 2_000
EACH = 500


def an_order(number):
    return {
        "event": "purchase",
        "conversion_id": f"order-{number}",
        "twclid": "23opevjt88psuo13lu8d020qkn",
    }


@pytest.mark.journey
@pytest.mark.timeout(600)
def test_responses_that_arrive_during_sigstop_are_used(tmp_path, x_emulator, figure):
    x_emulator.switch(rate_limit=1_000_000_000)
    x_emulator.fault("slow", seconds=3, count=CONVERSIONS // EACH)
    with Gateway(tmp_path, x_emulator.url) as gateway:
        for first in range(0, CONVERSIONS, EACH):
            status, _ = gateway.post({"conversions": [an_order(first + n) for n in range(EACH)]})
            assert status == 202
        wait_for(lambda: x_emulator.faults()["faults"][0]["hits"] == CONVERSIONS // EACH)
        gateway.process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        gateway.process.send_signal(signal.SIGCONT)
        account = gateway.drained()

    entries = x_emulator.received()["entries"]
    sent = sum(entry["conversions"] for entry in entries)
    figure(
        f"{STOPPED} s of SIGSTOP while X responds",
        f"{CONVERSIONS:,} conversions, {sent - CONVERSIONS:,} sent again",
    )
    assert (account["delivered"], account["balance"]) == (CONVERSIONS, 0)
    assert sent == CONVERSIONS
