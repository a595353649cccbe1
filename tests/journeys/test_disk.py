"""A disk fills under load: clear refusals, nothing half-stored, and recovery by itself.

The emulator of X is the oracle: it knows how often each conversion id reached it.
"""

import http.client
import json
import os
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from gateway_processes import KEY, BalanceWatch, wait_for
from small_disks import MIB, GatewayOnDisk, limited_files, small_disk

from twite.testing.emulator import running_emulator

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
ROUNDS = 10 if TRIAL else 1
EACH = 50
REFUSALS = 25


class Shop:
    """Posts orders one by one, and reposts refused ones with the same ids at the end."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.acknowledged = set()
        self.refused = []
        self.answers = []
        self._made = 0

    def post(self):
        """Post new orders; return whether they were acknowledged."""
        ids = [f"d-{self._made + place}" for place in range(EACH)]
        self._made += EACH
        taken = self.post_these(ids)
        if not taken:
            self.refused.append(ids)
        return taken

    def post_refused(self):
        for ids in self.refused:
            wait_for(lambda ids=ids: self.post_these(ids), seconds=5)

    def post_these(self, ids):
        body = {
            "conversions": [
                {"event": "purchase", "conversion_id": id_, "email": f"{id_}@example.com"}
                for id_ in ids
            ]
        }
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        host = urlsplit(self.gateway.url).netloc
        with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
            connection.request("POST", "/v1/conversions", body=json.dumps(body), headers=headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        if answer.status == 202:
            self.answers.append((202, said["accepted"], said["duplicates"]))
            self.acknowledged.update(ids)
            return True
        self.answers.append(
            (answer.status, said["errors"][0]["code"], answer.headers["retry-after"])
        )
        time.sleep(0.02)
        return False


@pytest.mark.journey
@pytest.mark.timeout(600 if TRIAL else 120)
@pytest.mark.parametrize("limits", [limited_files, small_disk], ids=["EFBIG", "ENOSPC"])
def test_a_full_disk_refuses_keeps_its_word_and_recovers_by_itself(
    tmp_path, limits, figure, request
):
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
        # Responses are under way when the disk fills: their requests must not be sent twice.
        x.fault("slow", seconds=0.2, count=0)
        disk.limit(gateway)
        shop = Shop(gateway)
        with BalanceWatch(gateway) as watch:
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

    assert set(shop.answers) == {(202, EACH, 0), (503, "ledger_unavailable", "5")}
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
