import pytest
from export_stage import ExportStage, table_target


@pytest.fixture
async def stage(tmp_path, empty_postgres_url):
    """An export into PostgreSQL."""
    stage = await ExportStage.begin(tmp_path, table_target(empty_postgres_url))
    stage.url = empty_postgres_url
    yield stage
    await stage.store.close()
