"""The load generator of the trials uses all paths through the gateway: direct, cached, general."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from direct_stage import Shop
from http_stage import KEY

from load_shop import LoadShop, PostingStyle
from twite.gateway.ingest.accept import Accept
from twite.http.direct import DirectIntake

PARSED, REPEATED, ORDINARY = "parsed", "repeated headers", "ordinary"
WAYS = {
    PostingStyle.BATCH: {PARSED},
    PostingStyle.SINGLE: {PARSED, REPEATED},
    PostingStyle.NAMED: {PARSED},
    PostingStyle.PIPELINED: {PARSED, ORDINARY},
    PostingStyle.HALF_CLOSED: {PARSED, REPEATED},
    PostingStyle.IN_PIECES: {PARSED},
    PostingStyle.CHUNKED: {ORDINARY},
}


class TakenPaths:
    """Counts the requests on each path."""

    def __init__(self, monkeypatch):
        self.parsed = self.direct = self.ordinary = 0
        admit, submit, native = DirectIntake.admit, DirectIntake.submit, Accept.native

        def admitted(intake, headers):
            found = admit(intake, headers)
            self.parsed += found is not None
            return found

        def submitted(intake, request):
            self.direct += 1
            submit(intake, request)

        async def natively(accept, **given):
            self.ordinary += 1
            return await native(accept, **given)

        monkeypatch.setattr(DirectIntake, "admit", admitted)
        monkeypatch.setattr(DirectIntake, "submit", submitted)
        monkeypatch.setattr(Accept, "native", natively)

    def names(self):
        many = {PARSED: self.parsed, REPEATED: self.direct - self.parsed, ORDINARY: self.ordinary}
        return {name for name, requests in many.items() if requests}


@pytest.mark.parametrize("style", PostingStyle)
async def test_each_style_of_requests_uses_its_code_path(tmp_path, monkeypatch, style):
    taken = TakenPaths(monkeypatch)
    async with Shop(tmp_path, is_direct=True).running() as shop:
        gateway = SimpleNamespace(url=shop.server.url, key=KEY)
        load = LoadShop(gateway, styles=[style])

        def post_some():
            with load:
                while len(load.acknowledged) < 60 and not load.problems:
                    time.sleep(0.01)

        await asyncio.to_thread(post_some)

    assert load.problems == []
    assert load.acknowledged_by == {style: len(load.acknowledged)}
    names = taken.names()
    assert names >= WAYS[style]
    assert (ORDINARY in names) == (ORDINARY in WAYS[style])
