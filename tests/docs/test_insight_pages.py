"""The docs match the console's pages about conversions."""

import re
from pathlib import Path

from twite.domain.stats.match_keys import FLAWS
from twite.domain.stats.value_guard import UnusualAmount, ValueGuard
from twite.gateway.operations.edit import DIVISORS
from twite.gateway.ports.listing import LOOKED_THROUGH

HOW_TO = Path(__file__).parents[2] / "docs/how-to"


def page(name):
    return (HOW_TO / f"{name}.md").read_text()


def test_every_error_of_an_identifier_is_documented_with_its_fix():
    rows = re.findall(
        r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", page("improve-match-keys"), re.MULTILINE
    )

    assert {code: (means, fix) for code, means, fix in rows} == FLAWS


def test_every_kind_of_unusual_amount_is_documented():
    rows = re.findall(r"^\| `(\w+)` \|", page("value-guards"), re.MULTILINE)

    assert set(rows) == set(UnusualAmount)
    assert all(f'"{guard}"' in page("value-guards") for guard in ValueGuard)


def test_figures_of_the_console_pages_match_the_code():
    assert f"searches {LOOKED_THROUGH:,} conversions" in page("use-the-console")
    assert all(f"{divisor:,}" in page("replay-dead-letters") for divisor in DIVISORS)
