"""The pytest plug-in: `twite_gateway` is a gateway whose conversions go to an emulator of X.

It needs Twite itself: `pip install 'twite-client[pytest]'`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from twite_emulator.process import Emulator

_KEY: Final = "twite-client-test-key-of-a-shop"
_SETTINGS: Final = """
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite:twite.db"
[x]
api_url = "{x}"
[[pixel]]
id = "o8z6j"
events = {{ purchase = "o8z6k", sign_up = "o8z6m", add_to_cart = "o8z6p" }}
auth = {{ pixel_token = "emulator-pixel-token-o8z6j" }}
[[source]]
name = "shop"
pixel = "o8z6j"
key = "{key}"
"""
_START_SECONDS: Final = 60.0
_DRAIN_SECONDS: Final = 30.0


class TestGateway:
    """A running gateway: `url` and `key` are for clients, `x` controls the emulator of X.

    Its pixel has the events `purchase`, `sign_up` and `add_to_cart`.
    """

    __test__ = False
    popen: ClassVar[type["subprocess.Popen[bytes]"]] = subprocess.Popen

    def __init__(self, folder: Path, x: "Emulator") -> None:
        self.key = _KEY
        self.url = ""
        self.x = x
        self._folder = folder

    def captured(self) -> list[dict[str, Any]]:
        """Return the conversions that X received in this test, once the gateway has sent all.

        They are in X's format, such as `{"conversion_id": "order-1", "event_id": …}`.
        """
        end = time.monotonic() + _DRAIN_SECONDS
        while self._pending():
            if time.monotonic() > end:
                raise TimeoutError("the gateway has conversions that it has not sent to X")
            time.sleep(0.02)
        received: Any = self.x.received(bodies=True)
        return [
            conversion
            for entry in received["entries"]
            if entry["status"] == 200
            for conversion in json.loads(entry["body"])["conversions"]
        ]

    def start(self) -> None:
        """Start the process. Raises RuntimeError with its output if it ends."""
        settings = self._folder / "twite.toml"
        settings.write_text(_SETTINGS.format(x=self.x.url, key=_KEY), encoding="utf-8")
        ready, output = self._folder / "twite.db.gateway", self._folder / "output"
        with output.open("wb") as log:
            self._process = self.popen(
                [sys.executable, "-m", "twite", "serve", "--config", str(settings)],
                stdout=log,
                stderr=log,
                env=dict(os.environ),
            )
        end = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"twite serve did not start: {output.read_text()[-2_000:]}")
            time.sleep(0.02)
        self.url = json.loads(ready.read_text(encoding="utf-8"))["url"]

    def stop(self) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.wait()

    def _pending(self) -> int:
        request = Request(  # noqa: S310 - a gateway on this machine
            f"{self.url}/v1/accounting", headers={"Authorization": f"Bearer {_KEY}"}
        )
        with urlopen(request, timeout=30) as response:  # noqa: S310
            pending: int = json.load(response)["pending"]
        return pending


@pytest.fixture
def twite_gateway(x_emulator: "Emulator", tmp_path: Path) -> Iterator[TestGateway]:
    """A gateway of this test alone, so that it knows no order of another test."""
    folder = tmp_path / "twite"
    folder.mkdir()
    gateway = TestGateway(folder, x_emulator)
    gateway.start()
    yield gateway
    gateway.stop()
