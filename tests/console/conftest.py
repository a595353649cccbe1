import pytest_asyncio
from console_stage import ConsoleStage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("console"))
    await stage.start()
    yield stage
    await stage.stop()
