import asyncio

import pytest
from ownership_stage import SharedSetting
from worker_stage import Stage


@pytest.fixture
async def begin():
    begun = []

    async def start(*due):
        setting = SharedSetting(*due)
        begun.append(setting)
        await setting.run.start()
        return setting

    yield start
    for setting in begun:
        setting.answer.set()
        await setting.run.stop(within=1_000)


@pytest.fixture
async def stage():
    stage = Stage()
    yield stage
    if hasattr(stage, "running"):
        async with asyncio.timeout(1):
            await stage.stop()
