"""The pages on guarantees and trials name only existing trials, and all trials that measure
something.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/guarantees.md"
ROW = re.compile(r"^\| (?!promise |---)(.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TRIAL = re.compile(r"\[(tests/[\w/]+\.py)\]\(\.\./\.\./(tests/[\w/]+\.py)\)")
MAIN = re.compile(
    r"^- \*\*(.+?)\*\*(.+?)\((\d{4}-\d\d-\d\d)\)\.\s+`make torture TRIALS=(\S+)`",
    re.DOTALL | re.MULTILINE,
)
TRIALS = ROOT / "docs/trials"
ROWS = [row for page in TRIALS.glob("*.md") for row in ROW.findall(page.read_text("utf-8"))]


def test_every_promise_names_an_existing_trial_and_a_figure():
    for promise, rests_on, figure, command in ROWS:
        [(shown, target)] = TRIAL.findall(command)

        assert shown == target
        assert "def test_" in (ROOT / target).read_text("utf-8")
        assert re.search(r"\d", figure), promise
        assert "@" not in figure
        assert promise
        assert rests_on, promise


def test_every_trial_with_a_figure_is_on_the_page():
    named = {target for row in ROWS for _, target in TRIAL.findall(row[3])}

    measuring = {
        path.relative_to(ROOT).as_posix()
        for folder in ("journeys", "trials", "senders")
        for path in (ROOT / "tests" / folder).glob("test_*.py")
        if re.search(r"\bfigure\(", path.read_text("utf-8"))
    }

    assert measuring - named == set()


def test_make_targets_run_every_trial_on_the_page():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [trials] = re.findall(r"^TRIALS \?= (.+)$", makefile, re.MULTILINE)

    missed = [
        target
        for row in ROWS
        for _, target in TRIAL.findall(row[3])
        if not any(target.startswith(place) for place in trials.split())
    ]

    assert missed == []


def test_main_guarantees_quote_figures_and_dates_of_the_table():
    lead = PAGE.read_text("utf-8").split("\n## The balance")[0]
    items = MAIN.findall(lead)
    default = re.search(r"figures are from ([\d-]+)", (TRIALS / "README.md").read_text("utf-8"))[1]

    assert len(items) == lead.count("\n- ") > 5
    for claim, text, date, trial in items:
        measured = [row[2] for row in ROWS if f"[{trial}]" in row[3] and agrees(text, row[2])]
        assert measured, claim
        assert date == default or any(date in figures for figures in measured), claim


def agrees(text, measured):
    """Return whether the rows of the tables contain every number of a text."""
    known = set(re.findall(r"\d[\d,]*", measured))
    return set(re.findall(r"\d[\d,]*\b", text)) <= known
