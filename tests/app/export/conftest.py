import pytest
from export_stage import ExportStage, table_target

from s3_server import BUCKET, s3_server


@pytest.fixture
async def stage(tmp_path, empty_postgres_url):
    """An export into PostgreSQL."""
    stage = await ExportStage.begin(tmp_path, table_target(empty_postgres_url))
    stage.url = empty_postgres_url
    yield stage
    await stage.store.close()


@pytest.fixture(scope="module")
def s3():
    with s3_server() as variables:
        yield variables


@pytest.fixture
async def storage_stage(tmp_path, s3, monkeypatch):
    """An export into object storage."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    prefix = f"s3://{BUCKET}/{tmp_path.name}/"
    stage = await ExportStage.begin(tmp_path, table_target(prefix))
    stage.variables = s3
    yield stage
    await stage.store.close()
