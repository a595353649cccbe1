"""The commands that docs and docstrings quote exist, with their options and files.

Each runs in its cheapest form: `make` prints its commands instead of running them, a program with
options prints its help, and one without is imported. `tests/contributing/tags/test_bench.py`
parses the arguments of benchmarks.
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / "docs").rglob("*.md"), *(ROOT / "sgtm").glob("*.md"), ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(path for folder in ("tests", "bench", "sgtm") for path in (ROOT / folder).rglob("*.py")),
]  # fmt: skip
# In a code span, or at the start of a line of a code block.
MAKE = re.compile(
    r"(?:`|^(?:\$ | {4})?)make ([a-z]+)((?: [A-Z]+=(?:\"[^\"`\n]*\"|[\w/.=-]+))*)", re.MULTILINE
)
PYTHON = re.compile(
    r"python (?:-m (?P<module>[a-z][\w.]*)|(?P<file>(?!-)[\w/]+\.py|deploy/packages))"
    r"(?P<arguments>(?: (?! )[^`#;|\n]*?)?)(?=  |[`#;|]|\)|$)",
    re.MULTILINE,
)
OUR_MODULES = {"bench", "ends", "simulator", "twite"}
# These run in environments of their own, with X's SDK and with the tools of the site.
FOREIGN = {"bench/sdk.py", "docs/site/build.py"}
# `make test` passes its own variables on; a CI may ask for colors.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("MAKE", "TWITE_"))
    and not name.endswith(("_COLOR", "_COLORS", "_ACTIONS"))
} | {
    "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("tests", "src", "")),
    "COLUMNS": "100",
}
IMPORTED = """
import importlib, runpy, sys
from pathlib import Path
program = sys.argv.pop(1)
if program.endswith(".py"):
    sys.path.insert(0, str(Path(program).parent))
    runpy.run_path(program)
else:
    importlib.import_module(program)
"""


def texts():
    return [(page, page.read_text("utf-8")) for page in PAGES]


def targets():
    """Return the quoted targets of `make`, each with its variables."""
    quoted = {match.groups() for _, text in texts() for match in MAKE.finditer(text)}
    return sorted(
        (target, *(each.replace('"', "") for each in re.findall(r'[A-Z]+=(?:"[^"]*"|\S+)', values)))
        for target, values in quoted
    )


def programs(text, folder=ROOT):
    """Return the programs of Twite that a text runs with Python, each with its options."""
    found = {}
    for match in PYTHON.finditer(text):
        module, file, arguments = match.group("module", "file", "arguments")
        if module is not None and module.split(".")[0] not in OUR_MODULES:
            continue
        program = module or next(
            (str(path.relative_to(ROOT)) for path in (folder / file, ROOT / file) if path.exists()),
            file,
        )
        if program == "twite":
            program = " ".join([program, *re.match(r"(?: [a-z][a-z-]*)*", arguments)[0].split()])
        # Those after `serve`, and those in a quoted command, are another program's.
        own = re.sub("'[^']*'", "", arguments.partition(" serve ")[0])
        found.setdefault(program, set()).update(re.findall(r" (--[a-z][\w-]*)", own))
    return found


@cache
def documented_programs():
    found = {}
    for page, text in texts():
        for program, options in programs(text, page.parent).items():
            found.setdefault(program, set()).update(options)
    return found


@cache
def options_of(program):
    """Return the options of a program: those in its help, or in its source after importing it."""
    name, *words = program.split()
    module = name.replace(".", "/")
    files = (name, f"{name}/__main__.py", f"{module}.py", f"{module}/__main__.py")
    places = [ROOT / folder / file for folder in ("", "tests", "src") for file in files]
    source = next(place for place in places if place.is_file()).read_text("utf-8")
    if name == "twite" or "argparse" in source:
        started = [name] if "/" in name else ["-m", name]
        said = ran(sys.executable, *started, *words, "--help")
        return set(re.findall(r"^\W*(?:-\w,? +)?(--[a-z][\w-]*)", said, re.MULTILINE))
    ran(sys.executable, "-c", IMPORTED, name)
    return set(re.findall(r'"(--[a-z][\w-]*)"', source))


def ran(*command):
    result = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def missing(found):
    """Return the options that programs do not have. Raises AssertionError if one does not start."""
    return [
        f"{program} {option}"
        for program in found
        if program not in FOREIGN
        for option in sorted(found[program] - options_of(program))
    ]


def lost_files(text):
    """Return the test files of pytest's commands that do not exist."""
    named = re.findall(r"pytest (?:[^`\n]*? )?(tests/[^`\n;|]*)", text)
    paths = [path for words in named for path in re.findall(r"\btests/[\w/.]+", words)]
    return [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("target", targets(), ids=" ".join)
def test_documented_make_target_prints_commands_that_exist(target):
    commands = ran("make", "--dry-run", *target)

    assert missing(programs(commands)) == []
    assert lost_files(commands) == []


@pytest.mark.parametrize("program", sorted(documented_programs()))
def test_documented_program_starts_and_has_the_documented_options(program):
    assert missing({program: documented_programs()[program]}) == []


def test_file_in_a_documented_pytest_command_exists():
    assert [path for _, text in texts() for path in lost_files(text)] == []


def test_documented_commands_are_found():
    assert {("lint",), ("torture", "TRIALS=tests/trials/test_poison.py")} <= set(targets())
    found = documented_programs()
    assert "--days" in found["simulator.simulator"]
    assert "--no-fence" in found["tests/trials/slow_sender.py"]
    assert {"tests/upgrades/write_store.py", "bench.console", "sgtm/draw.py"} <= set(found)
