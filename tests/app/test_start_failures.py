"""A gateway that cannot start closes what it has opened."""

import socket

import pytest

from twite.app import gateway_builder as module
from twite.app.gateway_builder import start_gateway
from twite.app.reload_command import ReloadCommand
from twite.app.store_access import open_store
from twite.app.workers import GatewayAddress
from twite.config.settings import load
from twite.domain.errors import SettingsError
from twite.gateway.operations.control import ReloadReport
from twite.gateway.ports.events import ReloadResult

SETTINGS = """
[server]
listen = "127.0.0.1:{port}"
[[pixel]]
id = "o8z6j"
auth = {{ pixel_token = "a-token-of-the-pixel" }}
events = {{ purchase = "o8z6k" }}
[[source]]
name = "shop"
key = "a-key-of-the-source-shop"
pixel = "o8z6j"
region = "GB"
"""


def settings_in(folder, port=0):
    path = folder / "twite.toml"
    path.write_text(SETTINGS.format(port=port))
    return load(path, {})


async def is_free(settings):
    """Return whether this process can own the store."""
    store = await open_store(settings)
    await store.close()
    return True


async def test_store_is_closed_if_the_address_is_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = settings_in(tmp_path, other.getsockname()[1])

        with pytest.raises(SettingsError):
            await start_gateway(settings)

    assert await is_free(settings)


async def test_store_is_closed_if_its_credentials_cannot_be_read(tmp_path, monkeypatch):
    async def given(*_):
        raise SettingsError(place="server.secret_key", message="does not fit")

    monkeypatch.setattr(module, "given", given)
    settings = settings_in(tmp_path)

    with pytest.raises(SettingsError, match="does not fit"):
        await start_gateway(settings)

    assert await is_free(settings)


async def test_stopped_gateway_closes_the_store_for_the_next_one(tmp_path):
    settings = settings_in(tmp_path)
    gateway = await start_gateway(settings)

    assert await gateway.stop()
    assert await is_free(settings)


async def test_gateway_refuses_to_reload_while_it_starts_or_stops(tmp_path):
    async def reload(*, dry_run):
        assert dry_run
        return ReloadReport(result=ReloadResult.UNCHANGED)

    async def take_up_keys():
        raise AssertionError

    command = ReloadCommand(GatewayAddress(settings_in(tmp_path), None, bytes), None)

    results = [(await command(dry_run=True)).result]
    command.begin(reload, take_up_keys)
    results.append((await command(dry_run=True)).result)
    command.end()
    results.append((await command(dry_run=True)).result)

    assert results == [ReloadResult.FAILED, ReloadResult.UNCHANGED, ReloadResult.FAILED]
