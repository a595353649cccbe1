"""A replacement for X's pixel script: `GET /uwt.js`. The real one is not available offline."""

from importlib.resources import files
from typing import Final

from twite.emulator.exchange import XAnswer

PATH: Final = "/uwt.js"

_SCRIPT: Final = files("twite.emulator").joinpath("uwt.js").read_bytes()
_HEADERS: Final = (
    ("content-type", "text/javascript; charset=utf-8"),
    ("cache-control", "no-cache"),
)


def pixel_script() -> XAnswer:
    return XAnswer(status=200, body=_SCRIPT, headers=_HEADERS)
