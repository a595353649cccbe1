import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from in_process_gateway import InProcessGateway

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def api(tmp_path) -> AsyncIterator[InProcessGateway]:
    api = await InProcessGateway.opened(tmp_path)
    yield api
    await api.close()
