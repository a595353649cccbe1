"""The way out of templates: public places alone, no redirect, nothing without end."""

import asyncio

import pytest
from aiohttp import web

from twite.gateway.ports import Answer, NoAnswer
from twite.gateway.tags.web import Asked
from twite.senders.web import LONGEST_ANSWER, PublicWeb, is_public

HERE = frozenset({"127.0.0.1"})


@pytest.fixture
async def served():
    async def long(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * (LONGEST_ANSWER + 10))

    async def moved(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"location": "/long"})

    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    application = web.Application()
    application.add_routes(
        [web.get("/long", long), web.get("/moved", moved), web.get("/never", never)]
    )
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def way_out():
    out = PublicWeb()
    yield out
    await out.stop()


def asked(url: str, *, allow_hosts: frozenset[str] = HERE, timeout: int = 2_000) -> Asked:
    return Asked(url=url, method="GET", timeout=timeout, allow_hosts=allow_hosts)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "::1", "[::1]",
     "::ffff:10.0.0.1", "fd00::1", "fe80::1", "224.0.0.1", "localhost", "a.localhost"],
)  # fmt: skip
def test_what_is_not_public_is_known(host):
    assert not is_public(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "127.1", "0x7f000001", "[::ffff:127.0.0.1]"]
)
async def test_no_spelling_of_this_machine_is_reached(host, served, way_out):
    port = served.rpartition(":")[2]

    came = await way_out.ask(asked(f"http://{host}:{port}/moved", allow_hosts=frozenset()))

    assert isinstance(came, NoAnswer)
    assert not came.left or "InvalidUrl" in came.reason


async def test_a_connection_that_one_tag_may_use_is_not_lent_to_another(served, way_out):
    allowed = await way_out.ask(asked(f"{served}/moved"))
    refused = await way_out.ask(asked(f"{served}/moved", allow_hosts=frozenset()))

    assert isinstance(allowed, Answer)
    assert refused == NoAnswer(reason="127.0.0.1 is not a public address", left=False)


async def test_a_redirect_is_an_answer(served, way_out):
    came = await way_out.ask(asked(f"{served}/moved"))

    assert isinstance(came, Answer)
    assert (came.status, came.headers["location"]) == (302, "/long")


async def test_an_answer_without_end_is_cut(served, way_out):
    came = await way_out.ask(asked(f"{served}/long"))

    assert isinstance(came, Answer)
    assert (len(came.body), came.whole) == (LONGEST_ANSWER, False)


async def test_what_does_not_answer_in_time_may_have_arrived(served, way_out):
    came = await way_out.ask(asked(f"{served}/never", timeout=200))

    assert came == NoAnswer(reason="no answer in time", left=True)
