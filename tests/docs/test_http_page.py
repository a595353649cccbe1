"""The page on the HTTP API."""

import re
from pathlib import Path

from twite.domain.cause import DeliveryCause

PAGE = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()


def test_every_cause_of_a_held_dead_or_suppressed_delivery_is_documented():
    table = PAGE.split("| `cause` | meaning |")[1].split("\n\n")[0]
    documented = [
        cause
        for line in table.splitlines()
        for cause in re.findall(r"`(\w+)`", line.split(" | ")[0])
    ]

    assert sorted(documented) == sorted(DeliveryCause)
