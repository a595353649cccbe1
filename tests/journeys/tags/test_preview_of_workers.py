import pytest
from gateway_processes import PostgresGateway, command

pytestmark = pytest.mark.journey


def test_preview_session_is_refused_with_several_workers(tmp_path, x_emulator, postgres_url):
    """If the session sends nothing, the other process would still send what reaches it."""
    with PostgresGateway(tmp_path, x_emulator.url, postgres_url, extra="workers = 2") as gateway:
        refused = command(gateway, "tag", "preview", "--send-nothing")
        trail = command(gateway, "audit", "--json")

    assert refused.returncode != 0
    assert "Start the gateway with workers = 1" in " ".join(refused.stderr.split())
    assert "tag.preview" not in trail.stdout
