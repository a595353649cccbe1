import pytest
from ownership_stage import SharedSetting


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
