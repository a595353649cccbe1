"""A disk fills under load: clear refusals, nothing half-stored, and recovery by itself.

The emulator of X is the oracle: it knows how often each conversion id reached it.
"""

import os
import time
from contextlib import closing
from itertools import cycle

import pytest
from gateway_processes import BalanceWatch, wait_for
from small_disks import MIB, GatewayOnDisk, limited_files, small_disk

from load_shop import PostingStyle, ShopClient
from twite_emulator.process import running_emulator

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
ROUNDS = 10 if TRIAL else 1
EACH = 50
REFUSALS = 25


# Each round has clients of one style. Single conversions arrive together.
STYLES = (PostingStyle.BATCH, PostingStyle.CHUNKED, *[PostingStyle.SINGLE] * 2)
TOGETHER = 8


class Shop:
    """Posts orders in rounds, and reposts refused ones with the same ids at the end."""

    def __init__(self, gateway):
        self.acknowledged = set()
        self.refused = []
        self.answers = []
        self._made = 0
        self._clients = {
            style: [
                ShopClient(gateway, style)
                for _ in range(TOGETHER if style is PostingStyle.SINGLE else 1)
            ]
            for style in STYLES
        }
        self._styles = cycle(STYLES)

    def post(self):
        """Post a round of new orders; return whether all were acknowledged."""
        clients = self._clients[next(self._styles)]
        size = EACH if len(clients) == 1 else 1
        orders = []
        for _ in clients:
            orders.append([f"d-{self._made + place:06}" for place in range(size)])
            self._made += size
        refused = self.post_these(orders, clients)
        self.refused += refused
        if refused:
            time.sleep(0.02)
        return not refused

    def post_refused(self):
        [client] = self._clients[PostingStyle.BATCH]
        for ids in self.refused:
            wait_for(lambda ids=ids: not self.post_these([ids], [client]), seconds=5)

    def post_these(self, orders, clients):
        """Let each client post its request's orders; return the refused orders."""
        for client, ids in zip(clients, orders, strict=True):
            client.send([ids])
        refused = []
        for client, ids in zip(clients, orders, strict=True):
            status, headers, said = client.receive()
            if status == 202:
                self.answers.append((202, said["accepted"] == len(ids), said["duplicates"]))
                self.acknowledged.update(ids)
            else:
                self.answers.append((status, said["errors"][0]["code"], headers["retry-after"]))
                refused.append(ids)
        return refused

    def close(self):
        for clients in self._clients.values():
            for client in clients:
                client.close()


@pytest.mark.journey
@pytest.mark.timeout(600 if TRIAL else 120)
@pytest.mark.parametrize("limits", [limited_files, small_disk], ids=["EFBIG", "ENOSPC"])
def test_gateway_with_a_full_disk_refuses_requests_and_recovers(tmp_path, limits, figure, request):
    switches = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
    place = tmp_path / "disk"
    place.mkdir()
    kept_while_full = []
    back_after = []
    with (
        limits(place) as disk,
        running_emulator(*switches) as x,
        GatewayOnDisk(tmp_path, x.url, disk=place, extra="batch = 50\nin_flight = 16") as gateway,
    ):
        # X's responses are under way when the disk fills: these requests must not be sent twice.
        x.fault("slow", seconds=0.2, count=0)
        disk.limit(gateway)
        with closing(Shop(gateway)) as shop, BalanceWatch(gateway) as watch:
            for _ in range(ROUNDS):
                fill(shop)
                balance = gateway.balance()
                kept_while_full.append(
                    (balance["received"] - len(shop.acknowledged), balance["balance"])
                )
                disk.grow(gateway)
                began = time.monotonic()
                wait_for(shop.post, seconds=5)
                back_after.append(time.monotonic() - began)
            disk.grow(gateway, by=64 * MIB)
            shop.post_refused()
        x.clear_faults()
        balance = gateway.drained()
        conversions = x.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
        stopped = gateway.stop()

    assert set(shop.answers) == {(202, True, 0), (503, "ledger_unavailable", "5")}
    assert kept_while_full == [(0, 0)] * ROUNDS
    assert watch.residues == []
    assert conversions.keys() == shop.acknowledged
    assert {(many["api"], many["counted"]) for many in conversions.values()} == {(1, 1)}
    assert (balance["delivered"], balance["balance"]) == (len(conversions), 0)
    assert stopped == 0
    # A session reopened after an I/O error does not reissue a lease.
    assert "UNIQUE" not in gateway.log()
    refusals = sum(status == 503 for status, _, _ in shop.answers)
    figure(
        f"disk full ({request.node.callspec.id})",
        f"{ROUNDS} times full, {refusals} refusals, {len(conversions):,} acknowledged, each "
        f"delivered once; accepted again after {max(back_after):.2f} s at most; balance 0 at each "
        f"of {watch.samples} looks",
    )


def fill(shop):
    """Post until nothing has been accepted for a while."""
    refused_in_a_row = 0
    while refused_in_a_row < REFUSALS:
        refused_in_a_row = 0 if shop.post() else refused_in_a_row + 1
