"""kill -9 at random moments: what was acknowledged is delivered, and nothing after its duplicate.

The emulator of X is the oracle: it knows how often each conversion id reached it, and what it
counted.
"""

import http.client
import json
import os
import random
import threading
import time
from contextlib import closing
from typing import Self
from urllib.parse import urlsplit

import pytest
from house import KEY, BalanceWatch, Gateway

from twite.testing.emulator import running_emulator

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
KILLS = 500 if TRIAL else 50
ACCEPTED = 500_000 if TRIAL else 50_000
RESTARTS = 200 if TRIAL else 4
EACH = 100
POSTERS = 4


class Shop:
    """Posts from several threads until told to stop, and remembers what was acknowledged.

    With `repeats`, one request in eight repeats a request that may or may not have been
    acknowledged, as a client that lost an answer does. `unanswered` is what was sent whole, and
    got no answer.
    """

    def __init__(self, gateway: Gateway, *, repeats: bool = True) -> None:
        self.gateway = gateway
        self.repeats = repeats
        self.acknowledged: set[str] = set()
        self.unanswered: set[str] = set()
        self.repeated = 0
        self.problems: list[str] = []
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self._post_on, args=(number,)) for number in range(POSTERS)
        ]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _post_on(self, number: int) -> None:
        chance = random.Random(number)
        made = 0
        past: list[list[str]] = []
        while not self.stopping.is_set():
            again = self.repeats and bool(past) and chance.random() < 1 / 8
            if again:
                ids = chance.choice(past[-20:])
                self.repeated += len(ids)
            else:
                ids = [f"k-{number}-{made + i}" for i in range(EACH)]
                made += EACH
                past.append(ids)
            if self._post(ids):
                self.acknowledged.update(ids)

    def _post(self, ids: list[str]) -> bool:
        body = json.dumps(
            {
                "conversions": [
                    {"event": "purchase", "conversion_id": one, "email": f"{one}@example.com"}
                    for one in ids
                ]
            }
        )
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        host = urlsplit(self.gateway.url).netloc
        sent = False
        try:
            with closing(http.client.HTTPConnection(host, timeout=10)) as connection:
                connection.request("POST", "/v1/conversions", body=body, headers=headers)
                sent = True
                answer = connection.getresponse()
                said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            if sent:
                self.unanswered.update(ids)
            time.sleep(0.02)
            return False
        if answer.status == 202:
            if said["accepted"] + said["duplicates"] != len(ids):
                self.problems.append(str(said))
            return True
        if answer.status in {429, 503}:
            time.sleep(0.05)
        else:
            self.problems.append(f"{answer.status}: {said}")
        return False


@pytest.mark.journey
@pytest.mark.timeout(1_500 if TRIAL else 400)
def test_kills_lose_nothing_and_send_nothing_after_its_duplicate(tmp_path, figure):
    chance = random.Random(20261125)
    switches = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
    with running_emulator(*switches) as x, Gateway(tmp_path, x.url, extra="batch = 200") as gateway:
        with Shop(gateway) as shop, BalanceWatch(gateway) as watch:
            kills = 0
            while kills < KILLS or len(shop.acknowledged) < ACCEPTED:
                time.sleep(chance.uniform(0.02, 0.7))
                gateway.kill()
                kills += 1
                gateway.start()
        balance = gateway.drained(seconds=300)
        conversions = x.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
        resent = [one for one, many in conversions.items() if many["api"] > 1]
        unexplained = [one for one in resent[:200] if not explained(gateway, one, conversions[one])]

    assert shop.problems == []
    assert watch.residues == []
    assert len(shop.acknowledged) >= ACCEPTED
    assert shop.acknowledged - conversions.keys() == set()
    assert {many["counted"] for many in conversions.values()} == {1}
    assert (balance["balance"], balance["dead"], balance["held"]) == (0, 0, 0)
    assert balance["delivered"] == len(conversions)
    assert unexplained == []
    figure(
        "202 survives kill -9",
        f"{kills} kills, {len(shop.acknowledged):,} acknowledged, 0 lost; {shop.repeated:,} "
        f"submitted again, none sent for it; {len(resent):,} resent as ambiguous, "
        f"{min(len(resent), 200)} of them looked at: 0 without an attempt of unknown end; "
        f"balance 0 at each of {watch.samples} looks",
    )


def explained(gateway: Gateway, conversion_id: str, tally: dict[str, int]) -> bool:
    """Whether each time beyond the first followed an attempt whose end nobody knew."""
    status, life = gateway.get(f"/v1/conversions/o8z6j/{conversion_id}")
    assert status == 200
    ambiguous = [one for one in life["attempts"] if one["ambiguous"]]
    return tally["api"] <= len(ambiguous) + 1


@pytest.mark.journey
@pytest.mark.timeout(2_400 if TRIAL else 120)
def test_stops_in_order_leave_nothing_in_doubt(tmp_path, figure):
    switches = ("rate_limit=1000000000", "log_bodies=0")
    codes = []
    stops = []
    with running_emulator(*switches) as x, Gateway(tmp_path, x.url) as gateway:
        with Shop(gateway, repeats=False) as shop, BalanceWatch(gateway) as watch:
            for _ in range(RESTARTS):
                time.sleep(0.4)
                began = time.monotonic()
                codes.append(gateway.stop())
                stops.append(time.monotonic() - began)
                gateway.start()
        balance = gateway.drained()
        conversions = x.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]

    assert set(codes) == {0}
    assert shop.problems == []
    assert watch.residues == []
    assert shop.acknowledged - conversions.keys() == set()
    assert shop.unanswered & conversions.keys() == set()
    assert {many["api"] for many in conversions.values()} == {1}
    assert balance["balance"] == 0
    figure(
        "SIGTERM under load",
        f"{RESTARTS} restarts, {len(shop.acknowledged):,} acknowledged, 0 lost, 0 sent twice, "
        f"0 taken in and cut off before the answer; the longest stop took {max(stops):.1f} s; "
        f"balance 0 at each of {watch.samples} looks",
    )
