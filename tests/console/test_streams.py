"""Live streams: one user cannot take the streams of others."""

from contextlib import AsyncExitStack

import aiohttp
import pytest
from console_stage import ConsoleStage
from hypothesis import given
from hypothesis import strategies as st

from twite.console.pages.changes import EACH, MOST, Streams

MADE_WAY = b"retry: 15000"


@given(st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.booleans()), max_size=200))
def test_streams_are_limited_per_user_and_in_total(steps):
    streams, there = Streams(), []

    for who, closes in steps:
        if closes and there:
            streams.close(there.pop(0))
        else:
            there.append(streams.open(who))
        there = [stream for stream in there if not stream.ended.is_set()]

        assert len(there) <= MOST
        assert all(sum(stream.who == who for stream in there) <= EACH for stream in there)


def test_oldest_stream_of_a_user_is_closed_for_a_new_one():
    streams = Streams()

    opened = [streams.open("vic") for _ in range(EACH + 2)]

    assert [stream.ended.is_set() for stream in opened] == [True, True, *[False] * EACH]


def test_user_with_the_most_streams_loses_one_at_the_total_limit():
    streams = Streams(each=4, most=5)
    others = [streams.open(who) for who in ("ada", "eve")]
    greedy = [streams.open("vic") for _ in range(3)]

    streams.open("olga")

    assert not any(stream.ended.is_set() for stream in others)
    assert [stream.ended.is_set() for stream in greedy] == [True, False, False]


async def test_user_with_many_streams_does_not_close_those_of_others(small_console):
    vic, olga = await small_console.signed_in("vic"), await small_console.signed_in("olga")

    async with aiohttp.ClientSession() as http, AsyncExitStack() as opened:
        vics = [await opened.enter_async_context(_stream(http, vic)) for _ in range(MOST + EACH)]
        olgas = await opened.enter_async_context(_stream(http, olga))
        first = await vics[0].read()
        still = [await stream.content.readline() for stream in (vics[-1], olgas)]
        for stream in (*vics, olgas):
            stream.close()

    assert first.endswith(MADE_WAY + b"\n\n")
    assert still == [b"retry: 1000\n"] * 2


@pytest.fixture
async def small_console(tmp_path):
    stage = ConsoleStage(tmp_path)
    await stage.start()
    yield stage
    await stage.stop()


def _stream(http, visitor):
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    return http.get(
        f"{visitor.url}/console/changes",
        headers={"Cookie": cookies, "Accept": "text/event-stream"},
    )
