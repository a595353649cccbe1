import sys
from pathlib import Path

import fork_server

sys.path[:0] = [
    str(Path(__file__).parent),
    str(Path(__file__).parents[2] / "clients/python/src"),
]

from twite_client import pytest_plugin  # noqa: E402 - it is not installed

pytest_plugin.TestGateway.popen = fork_server.Popen
twite_gateway = pytest_plugin.twite_gateway
