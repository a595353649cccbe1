from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from collector_stage import Stage


@pytest.fixture
async def staged() -> AsyncIterator[Callable[..., Awaitable[Stage]]]:
    """Return a way to start collectors that are stopped after the test."""
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
