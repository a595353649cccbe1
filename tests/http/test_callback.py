"""The callback URL of X's sign-in: the first valid request is used."""

import asyncio
import socket

import pytest

from free_port import free_port
from twite.domain.errors import SettingsError
from twite.http.callback import Callback


def an_address() -> str:
    return f"http://127.0.0.1:{free_port()}/x/callback"


async def send_line(address: str, line: str) -> str:
    port = int(address.split(":")[2].split("/", maxsplit=1)[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{line}\r\nHost: x\r\n\r\n".encode())
    await writer.drain()
    answer = await reader.read()
    writer.close()
    return answer.decode()


@pytest.mark.parametrize("query", ["oauth_token=t&oauth_verifier=v", "denied=t"])
async def test_callback_returns_the_query_of_its_sign_in(query):
    address = an_address()
    async with Callback(address) as callback:
        answer = await send_line(address, f"GET /x/callback?{query} HTTP/1.1")

        came = await callback.query("t", seconds=5)

    assert came == query
    assert "you can close this page" in answer
    assert "Content-Security-Policy: default-src 'none'" in answer


async def test_callback_ignores_other_sign_ins_and_paths():
    address = an_address()
    async with Callback(address) as callback:
        elsewhere = [
            await send_line(address, line)
            for line in (
                "GET /favicon.ico HTTP/1.1",
                "POST /x/callback?oauth_token=t HTTP/1.1",
                "nonsense",
            )
        ]
        await send_line(address, "GET /x/callback?oauth_token=other&oauth_verifier=v HTTP/1.1")
        await send_line(address, "GET /x/callback?oauth_token=t&oauth_verifier=v HTTP/1.1")

        came = await callback.query("t", seconds=5)

    assert came == "oauth_token=t&oauth_verifier=v"
    assert {answer.split("\r\n")[0] for answer in elsewhere} == {"HTTP/1.1 404 Not Found"}


async def test_callback_refuses_an_endless_line_and_serves_the_next_request():
    address = an_address()
    async with Callback(address) as callback:
        await send_line(address, f"GET /x/callback?{'x' * 20_000} HTTP/1.1")
        await send_line(address, "GET /x/callback?denied=t HTTP/1.1")

        assert await callback.query("t", seconds=5) == "denied=t"


async def test_callback_times_out_without_a_request():
    async with Callback(an_address()) as callback:
        assert await callback.query("t", seconds=0.01) is None


async def test_callback_reports_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/x/callback"

        with pytest.raises(SettingsError, match="cannot listen on"):
            async with Callback(address):
                pass


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1:8765/x/callback",
        "http://t.shop.example:8765/x/callback",
        "http://0.0.0.0:8765/x/callback",
        "http://127.0.0.1/x/callback",
        "127.0.0.1:8765",
    ],
)
def test_callback_listens_only_on_loopback(address):
    with pytest.raises(SettingsError, match="is not an address of this machine"):
        Callback(address)
