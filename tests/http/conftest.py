import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from http_stage import Stage
from pages import (
    a_stage,
)
from tag_stage import PROXY, TagStage, stage_arguments

from memory_store.store import MemoryStore


def pytest_asyncio_loop_factories(config, item):
    """Tests of the server run on both loops: Twite uses uvloop, which Windows does not have."""
    both = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return both if "test_http_server" in item.nodeid else {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def staged() -> AsyncIterator[Callable[..., Awaitable[Stage]]]:
    """Return a function that starts servers, which are stopped after the test."""
    started: list[Stage] = []

    async def start(**said: Any) -> Stage:
        stage = Stage(**said)
        await stage.server.start()
        started.append(stage)
        return stage

    yield start
    for stage in started:
        await stage.server.stop()


@pytest.fixture
async def stage(staged: Callable[..., Awaitable[Stage]]) -> Stage:
    return await staged()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
async def page(staged, store):
    return await staged(**a_stage(store))


@pytest.fixture
def make_api(staged) -> Callable[..., Awaitable[TagStage]]:
    async def open_(*sources, **said) -> TagStage:
        needs, store = stage_arguments(*sources)
        return TagStage(await staged(**needs, trusted_proxies=PROXY, **said), store)

    return open_


@pytest.fixture
async def api(make_api) -> TagStage:
    return await make_api()
