"""Fixtures of the tag tests."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from client_stage import ClientStage


@pytest.fixture
async def staged() -> AsyncIterator[Callable[..., ClientStage]]:
    stages: list[ClientStage] = []

    def make(*codes: str, **said: Any) -> ClientStage:
        stages.append(ClientStage(*codes, **said))
        return stages[-1]

    yield make
    for stage in stages:
        await stage.stop()
