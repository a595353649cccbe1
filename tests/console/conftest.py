import pytest_asyncio
from console_stage import House


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("house"))
    await house.start()
    yield house
    await house.stop()
