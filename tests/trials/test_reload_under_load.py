"""Reloads under load: no request is lost or wrongly refused, and no connection is closed."""

import asyncio
import os
import time

import pytest
from gateway_processes import KEY, PIXEL, Gateway

from twite.app.control_client import client_of, reachable

LONG = os.environ.get("TWITE_TRIAL") == "1"
RELOADS = 50 if LONG else 4
PER_SECOND = int(os.environ.get("TWITE_TRIAL_RATE", "500" if LONG else "40"))
CONNECTIONS = 50 if LONG else 4
# Seconds of load before the first reload, and between two reloads.
BEFORE, REST = (15, 0.8) if LONG else (1, 0.3)
SECOND_KEY = "second-key-second-key-second"
SECOND = f"""
[[pixel]]
id = "o6dkt"
auth = {{ pixel_token = "emulator-pixel-token-o6dkt" }}
events = {{ purchase = "o6dkv" }}
[[source]]
name = "second"
key = "{SECOND_KEY}"
pixel = "o6dkt"
"""


class Client:
    """Posts on one keep-alive connection, at fixed times, and never reconnects."""

    def __init__(self, number):
        self._number = number
        self.statuses = []
        self.latencies = []  # (scheduled time, seconds from then until the answer)
        self.closed = 0

    async def run(self, port, stopping):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        rest = CONNECTIONS / PER_SECOND
        scheduled = time.monotonic() + self._number / PER_SECOND
        try:
            while not stopping.is_set():
                await asyncio.sleep(max(0, scheduled - time.monotonic()))
                order = f"order-{self._number}-{len(self.statuses)}"
                writer.write(posted(KEY, order, chunked=self._number % 4 == 3))
                self.statuses.append(await answered(reader))
                self.latencies.append((scheduled, time.monotonic() - scheduled))
                scheduled += rest
        except (OSError, asyncio.IncompleteReadError):
            self.closed += 1
        finally:
            writer.close()


def posted(key, order, *, chunked=False):
    """Return a request. Chunked ones are handled in the ordinary way, others directly."""
    body = b'{"event":"purchase","conversion_id":"%b","twclid":"abc"}' % order.encode()
    head = (
        "POST /v1/conversions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\n"
    ).encode()
    if chunked:
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def answered(reader):
    """Read a response; return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split()[1])


def percentile(latencies, share):
    found = sorted(latencies)
    return found[min(len(found) - 1, int(len(found) * share))] * 1_000


async def loaded(gateway):
    """Reload under load.

    Return the clients, the reloads' times, the statuses of the second source, and the results.
    """
    without = gateway.config.read_text()
    port = int(gateway.url.rpartition(":")[2])
    clients, stopping = [Client(number) for number in range(CONNECTIONS)], asyncio.Event()
    tasks = [asyncio.create_task(client.run(port, stopping)) for client in clients]
    await asyncio.sleep(BEFORE)
    times, second, results = [], [], []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with client_of(reachable(gateway.note)) as control:
        for number in range(RELOADS):
            gateway.config.write_text(without if number % 2 else without + SECOND)
            began = time.monotonic()
            results.append((await control.reload(dry_run=False)).result)
            times.append((began, time.monotonic()))
            writer.write(posted(SECOND_KEY, f"second-{number}"))
            second.append(await answered(reader))
            await asyncio.sleep(REST)
    stopping.set()
    await asyncio.gather(*tasks)
    writer.close()
    return clients, times, second, results


@pytest.mark.alone
@pytest.mark.timeout(600)
def test_reloads_under_load_lose_no_request_and_close_no_connection(tmp_path, x_emulator, figure):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        clients, times, second, results = asyncio.run(loaded(gateway))
        balance = gateway.drained()

    statuses = [status for client in clients for status in client.statuses]
    latencies = [each for client in clients for each in client.latencies]
    during, before, between = [], [], []
    for at, took in latencies:
        # A reload slows down requests that were sent shortly before it, or while it ran.
        if any(began - 0.05 <= at <= ended + 0.05 for began, ended in times):
            during.append(took)
        else:
            (before if at < times[0][0] else between).append(took)
    rate = len(latencies) / (max(latencies)[0] - min(latencies)[0])
    closed = sum(client.closed for client in clients)
    refused = len(statuses) - statuses.count(202)
    figure(
        "reloads under load",
        f"{RELOADS} reloads, {CONNECTIONS} connections, {rate:,.0f} conversions a second "
        f"({len(statuses):,} in all): {refused} refused, {closed} connections closed, "
        f"{len(statuses) - refused - balance['received']} lost; a reload took "
        f"{percentile([end - begin for begin, end in times], 0.5):.0f} ms at the median; p99 "
        f"{percentile(before, 0.99):.0f} ms before the first, {percentile(during, 0.99):.0f} ms "
        f"during a reload, {percentile(between, 0.99):.0f} ms between two (medians "
        f"{percentile(before, 0.5):.0f}, {percentile(during, 0.5):.0f} and "
        f"{percentile(between, 0.5):.0f} ms)",
    )
    assert set(statuses) == {202}
    assert closed == 0
    assert (balance["received"], balance["delivered"]) == (len(statuses), len(statuses))
    assert balance["balance"] == 0
    assert results == ["reloaded"] * RELOADS
    assert second == [202, 401] * (RELOADS // 2)
    assert len(x_emulator.counted()["pixels"][PIXEL]["events"]["o8z6k"]["ids"]) == len(statuses)
