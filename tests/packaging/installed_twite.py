"""Try an installed `twite`: from the first settings to a delivered conversion."""

import json
import os
import subprocess
import time
import urllib.request
from pathlib import Path

from free_port import free_port

ROOT = Path(__file__).parents[2]
SECONDS = 120
ORDER = {
    "event": "purchase",
    "conversion_id": "order-1001",
    "value": "49.90",
    "currency": "EUR",
    "email": "shopper@shop.internal",
}


def built_packages() -> Path:
    """Return the folder of the packages: TWITE_DIST, or `dist`, after `make dist` if necessary."""
    folder = Path(os.environ.get("TWITE_DIST", ROOT / "dist"))
    if not folder.joinpath("twite.pyz").exists():
        subprocess.run(["make", "-C", str(ROOT), "dist"], check=True)
    return folder


class InstalledTwite:
    """A command that runs `twite`, and a folder for its settings."""

    def __init__(self, *command: str, folder: Path, environment: dict[str, str] | None = None):
        self.command = command
        self.folder = folder
        folder.mkdir(exist_ok=True)
        port, x_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "TWITE_SERVER__LISTEN": f"127.0.0.1:{port}",
            "TWITE_X__EMULATOR": f"127.0.0.1:{x_port}",
            **(environment or {}),
        }

    def run(self, *arguments: str) -> str:
        found = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert found.returncode == 0, (arguments, found.stdout, found.stderr)
        return found.stdout

    def deliver(self) -> None:
        """Write settings, start the gateway, and send a conversion until it is delivered."""
        self.run("init", "--emulator")
        key = self.folder.joinpath("shop.key").read_text().strip()
        with subprocess.Popen(
            [*self.command, "serve"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as gateway:
            try:
                assert gateway.stdout is not None
                assert "Twite listens on" in gateway.stdout.readline()
                self.send(key)
                self.wait_for_delivery()
            finally:
                gateway.terminate()
                gateway.communicate(timeout=SECONDS)
        assert gateway.returncode == 0

    def send(self, key: str) -> None:
        request = urllib.request.Request(
            f"{self.url}/v1/conversions",
            json.dumps(ORDER).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            assert response.status == 202

    def wait_for_delivery(self) -> None:
        end = time.monotonic() + SECONDS
        while "delivered" not in self.run("show", "order-1001"):
            assert time.monotonic() < end
            time.sleep(0.2)
