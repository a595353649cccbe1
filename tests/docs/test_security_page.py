"""The tests named on the security page exist."""

import re
from pathlib import Path

from twite.config.server_tables import ConsoleSettings
from twite.domain.times import HOUR, MINUTE
from twite.gateway.identity.two_factor import PERIOD, RECOVERY_CODES
from twite.gateway.identity.weak_passwords import LONGEST, SHORTEST

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/security.md").read_text()
ROWS = re.findall(
    r"^\| ([\d., ]+) \| ([^|]+) \| `(tests/[\w/]+\.py)::(test_\w+)` \|$",
    PAGE,
    re.MULTILINE,
)


def test_every_requirement_on_the_security_page_names_a_test():
    head = "| ASVS | requirement | test |\n|---|---|---|\n"
    table = PAGE.split(head)[1].split("\n\n")[0]

    assert len(ROWS) == len(table.splitlines()) > 40


def test_that_a_requirement_names_exists():
    for _, _, file, name, *_ in ROWS:
        code = (ROOT / file).read_text()
        assert re.search(rf"^ *(async )?def {name}\(", code, re.MULTILINE), name


def test_figures_of_the_security_page_match_the_code():
    assert f"{SHORTEST} to {LONGEST:,} characters" in PAGE
    assert (ConsoleSettings().idle, ConsoleSettings().session) == (30 * MINUTE, 12 * HOUR)
    assert (PERIOD, RECOVERY_CODES) == (30, 10)
