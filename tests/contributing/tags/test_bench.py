"""The benchmark's modules can be imported, and its commands in the docs are valid."""

import importlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from twite.console.page import PageRoute
from twite.tags.engines.quickjs.engine import QuickJsEngine

ROOT = Path(__file__).parents[3]
sys.path.append(str(ROOT))

from bench import console, counting, tags  # noqa: E402 - after the path to it

MODULES = sorted(file.stem for file in (ROOT / "bench").glob("*.py"))
# This one runs in an environment of its own, with X's SDK.
FOREIGN = {"sdk"}
PAGES = [
    *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md",
    *(ROOT / "bench").glob("*.py"),
]  # fmt: skip
QUOTED = re.compile(
    r"make bench(?: ARGS=(?:\"(?P<quoted>[^\"]*)\"|(?P<plain>[^\s`\"]+)))?"
    r"|python -m bench\.(?P<module>\w+)(?P<arguments>(?: --?[a-z]\S*(?: [\w.]+)?)*)"
)


def commands():
    """Return the quoted commands, as modules and arguments."""
    found = set()
    for page in PAGES:
        for match in QUOTED.finditer(page.read_text("utf-8")):
            arguments = match["quoted"] or match["plain"] or match["arguments"] or ""
            found.add((match["module"] or "__main__", arguments.replace("`", "").strip()))
    return sorted(found)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in FOREIGN])
def test_each_module_of_the_benchmark_can_be_imported(module, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # a module may add folders of tests

    importlib.import_module(f"bench.{module}")


@pytest.mark.parametrize(("module", "arguments"), commands())
def test_each_documented_benchmark_command_has_valid_arguments(module, arguments):
    imported = importlib.import_module(f"bench.{module}")
    if not hasattr(imported, "parser"):
        assert not arguments or module == "load"  # it is started by others, without options
        return

    imported.parser().parse_args(shlex.split(arguments.replace("FILE", "twite.db")))


def test_benchmark_commands_are_found_in_the_docs():
    found = commands()

    assert {("__main__", "--console"), ("console", "--times 7"), ("__main__", "")} <= set(found)
    assert len(found) >= 15


def test_benchmark_measures_all_pages_of_the_console(capsys, monkeypatch):
    seen, pages = [], console.pages
    monkeypatch.setattr(
        console, "pages", lambda routes, *rest: seen.append(routes) or pages(routes, *rest)
    )

    console.run(300, store=None, times=1)

    said = capsys.readouterr().out.splitlines()
    names = {line.split("  ")[0] for line in said[1:-1]}
    routes = {route.path for route in seen[0] if route.method == "GET"}
    assert routes - names == set(console.ASIDE)
    assert {"/console/match-keys?days=90", "client: /console/conversions"} <= names
    added = PageRoute("GET", "/console/new/{thing}", answer=None)
    with pytest.raises(SystemExit, match="a page needs a value of 'thing'"):
        pages([*seen[0], added], 300, "a-problem")


def test_counters_of_the_benchmark_can_be_switched_off():
    with counting.uncounted():
        pass


@pytest.mark.parametrize("runs", [0, 1, 3, 1_000])
def test_memory_of_templates_is_measured_over_any_number_of_runs(runs):
    engine = QuickJsEngine(tags.template())

    said = tags.memory_over(engine, lambda: None, runs=runs)

    assert f"in the first quarter of {runs:,} runs" in said
