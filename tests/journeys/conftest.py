import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from front_door import FrontDoor

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def api(tmp_path) -> AsyncIterator[FrontDoor]:
    api = await FrontDoor.opened(tmp_path)
    yield api
    await api.close()
