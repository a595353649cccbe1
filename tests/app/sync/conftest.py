import pytest
from sync_stage import SyncStage


@pytest.fixture
def shop(tmp_path):
    stage = SyncStage(tmp_path)
    stage.create()
    return stage
