"""Firefox without a window, driven by WebDriver BiDi. Playwright's own build is in no package."""

import asyncio
import contextlib
import itertools
import json
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

# https://w3c.github.io/webdriver-bidi/


class Firefox:
    """One tab. Commands have the names of the specification."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.context = ""
        self.errors: list[str] = []  # errors of scripts and of the content security policy

    async def send(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                self.errors.append(message["params"]["text"])
            if message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                result: dict[str, Any] = message["result"]
                return result

    async def begin(self) -> None:
        await self.send("session.new", capabilities={})
        tree = await self.send("browsingContext.getTree")
        self.context = tree["contexts"][0]["context"]
        await self.send("session.subscribe", events=["log.entryAdded"])

    async def resize(self, width: int, height: int) -> None:
        viewport = {"width": width, "height": height}
        await self.send("browsingContext.setViewport", context=self.context, viewport=viewport)

    async def goto(self, url: str) -> None:
        await self.send("browsingContext.navigate", context=self.context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, which JSON can express."""
        answer = await self.send(
            "script.evaluate",
            expression=f"JSON.stringify({expression})",
            target={"context": self.context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value", "null"))

    async def keep_cookies(self, url: str, cookies: Mapping[str, str]) -> None:
        host = re.sub(r"^https?://([^:/]+).*", r"\1", url)
        for name, value in cookies.items():
            cookie = {"name": name, "value": {"type": "string", "value": value}, "domain": host}
            await self.send("storage.setCookie", cookie=cookie)


@contextlib.asynccontextmanager
async def running_firefox(path: str) -> AsyncIterator[Firefox]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(path, "--headless", "--no-remote", "--profile", profile),
            "--remote-debugging-port=0",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            async for line in process.stderr:
                if found := re.search(rb"WebDriver BiDi listening on (ws://\S+)", line):
                    break
            else:
                raise RuntimeError("Firefox ended before it listened")
            reading = asyncio.create_task(process.stderr.read())
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{found[1].decode()}/session", max_msg_size=0) as socket,
            ):
                firefox = Firefox(socket)
                await firefox.begin()
                yield firefox
            reading.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
