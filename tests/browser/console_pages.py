"""The pages of the console, with something on each, for tests and for screenshots."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from house import ENVIRONMENT, Gateway
from playwright.async_api import Page

from twite.testing.emulator import running_emulator

PASSWORD = "a sentence that does well"
EXTRA = """
[server.x]
"""


@contextmanager
def a_console(folder: Path) -> Iterator[Gateway]:
    """A gateway on which things have happened, an emulated X, and an admin: ada."""
    with running_emulator() as emulator:
        gateway = Gateway(folder, emulator.url)
        add_user(gateway, "ada", "admin")
        add_user(gateway, "vic", "viewer")
        with gateway:
            yield gateway


def add_user(gateway: Gateway, name: str, role: str) -> None:
    command = [sys.executable, "-m", "twite", "user", "add", name, "--role", role]
    subprocess.run(
        [*command, "--password-stdin", "--config", str(gateway.config)],
        input=PASSWORD.encode(),
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
    )


async def sign_in(page: Page, url: str, name: str = "ada") -> None:
    await page.goto(f"{url}/console/sign-in")
    await page.fill("#name", name)
    await page.fill("#password", PASSWORD)
    await page.click("button.main")
    await page.wait_for_selector("nav")
