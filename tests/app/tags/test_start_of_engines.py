"""The template fork server starts before the store opens, and ends if opening fails."""

import asyncio
import sys
from pathlib import Path

import pytest

import twite.app.gateway_builder
from twite.app.gateway_builder import start_gateway
from twite.config.settings import load
from twite.domain.errors import StoreInUse

SETTINGS = """
[server]
listen = "127.0.0.1:0"
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "a-token-of-the-pixel" }
events = { purchase = "o8z6k" }
[[source]]
name = "shop"
key = "a-key-of-the-source-shop"
pixel = "o8z6j"
region = "GB"
"""
TAG = '[[tag]]\nname = "ads"\ntemplate = "ads.tpl"\nconsent = []\n'
TEMPLATES = Path(__file__).parents[2] / "tags/templates"


class UsedStore:
    """A store that another process owns. `children` lists the processes while it opens."""

    def __init__(self) -> None:
        self.children: list[str] = []

    async def open(self, *_: object) -> None:
        self.children = children()
        raise StoreInUse(path="twite.db", owner=None)


def children() -> list[str]:
    return Path("/proc/thread-self/children").read_text().split()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("more", "started"), [(TAG, 1), ("", 0)])
async def test_fork_server_starts_before_the_store_and_ends_with_it(
    tmp_path, monkeypatch, more, started
):
    (tmp_path / "twite.toml").write_text(SETTINGS + more)
    (tmp_path / "ads.tpl").write_text((TEMPLATES / "ad_cookies.tpl").read_text())
    store, before = UsedStore(), children()
    monkeypatch.setattr(twite.app.gateway_builder, "engine_of", lambda _: store)

    with pytest.raises(StoreInUse):
        await start_gateway(load(tmp_path / "twite.toml", environ={}))

    assert len(store.children) - len(before) == started
    assert children() == before


LISTENS = """
import asyncio, sys
from pathlib import Path
from twite.app.gateway_builder import start_gateway
from twite.config.settings import load

async def listen() -> None:
    gateway = await start_gateway(load(Path(sys.argv[1]), environ={}))
    print("quickjs" in sys.modules, "quickjs" in Path("/proc/self/maps").read_text())
    await gateway.stop()

asyncio.run(listen())
"""
CLIENT = '[[client]]\ntemplate = "client.tpl"\nsource = "shop"\n'


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_process_with_the_http_listener_does_not_load_the_template_engine(tmp_path):
    (tmp_path / "twite.toml").write_text(SETTINGS + TAG + CLIENT)
    (tmp_path / "ads.tpl").write_text((TEMPLATES / "ad_cookies.tpl").read_text())
    (tmp_path / "client.tpl").write_text((TEMPLATES / "client_json.tpl").read_text())

    ran = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LISTENS,
        str(tmp_path / "twite.toml"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    reported, _ = await ran.communicate()

    assert reported == b"False False\n"
