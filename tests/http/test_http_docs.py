import re
from pathlib import Path

from openapi_document import document
from twite.http.limits import HttpLimits
from twite.http.responses import CODES

PAGE = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()


def test_every_error_code_is_documented_with_its_meaning():
    documented = dict(re.findall(r"^\| `(\w+)` \| \d+ \| (.+?) \|$", PAGE, re.MULTILINE))

    assert documented == CODES


def test_every_route_is_documented():
    missing = [path for path in document()["paths"] if path.split("{")[0] not in PAGE]

    assert [path for path in missing if not path.startswith("/11/")] == []


def test_documented_limits_are_the_default_limits():
    limits = HttpLimits()

    assert (
        f"headers | {limits.headers // 1024} KiB, complete within {limits.headers_seconds:g} s"
        in PAGE
    )
    assert f"body | {limits.body // 2**20} MiB" in PAGE
    bodies = limits.bodies // 2**20
    assert f"concurrent requests | {limits.requests:,} requests, and {bodies} MiB in total" in PAGE
    assert f"connections | {limits.connections:,} connections, or fewer" in PAGE
    assert f"idle connection | {limits.idle_seconds:g} s" in PAGE
    assert f"when the gateway stops | {limits.stop_seconds:g} s" in PAGE
    assert f"up to {limits.discarded // 2**20} MiB of the body" in PAGE
