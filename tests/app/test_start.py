"""A gateway imports only what it needs before its first request."""

import subprocess
import sys

import pytest

# Importing these used to take half of the CPU time of startup.
LATE = (
    "aiohttp", "argon2", "cryptography", "jinja2", "oauthlib", "phonenumbers", "pydantic", "rich",
    "statistics", "tomlkit", "typer", "yaml", "yarl",
)  # fmt: skip
LISTENS = """
import sys
from twite.app.gateway import RunningGateway
from twite.cli import run

async def started(*_):
    raise SystemExit(",".join(name for name in sys.argv[1].split(",") if name in sys.modules) or 0)

RunningGateway.begin = started
sys.exit(run(["serve", "--config", sys.argv[2], "--json"]))
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "twite.toml"
    path.write_text(
        '[server]\nlisten = "127.0.0.1:0"\n[[pixel]]\nid = "o8z6j"\n'
        'auth = { pixel_token = "env:TOKEN" }\nevents = { purchase = "o8z6k" }\n'
        '[[source]]\nname = "shop"\nkey = "env:KEY"\npixel = "o8z6j"\nregion = "GB"\n'
    )
    return path


def test_starting_the_gateway_imports_only_the_needed_libraries(config):
    done = subprocess.run(
        [sys.executable, "-c", LISTENS, ",".join(LATE), str(config)],
        capture_output=True,
        text=True,
        check=False,
        env={"TOKEN": "t" * 20, "KEY": "k" * 20, "TWITE_SECRET_KEY": "s" * 32},
    )

    assert (done.returncode, done.stderr) == (0, "")
