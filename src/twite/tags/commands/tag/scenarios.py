"""`twite tag test`: run a template's own tests, once or after each change of the file."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from twite.cli import printing
from twite.cli.options import Json, prints
from twite.domain.errors import SettingsError
from twite.domain.plural import plural
from twite.tags.commands.tag.arguments import File
from twite.tags.settings.templates import load_template, verdicts_of
from twite.tags.template.template import ScenarioResult, junit, placed

Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit report")]
Watch = Annotated[bool, typer.Option("--watch", help="Run the tests again after each change")]
_BETWEEN_LOOKS: Final = 0.3  # seconds


@prints(list[ScenarioResult])
def scenarios(
    file: File, *, junit_file: Junit = None, watch: Watch = False, as_json: Json = False
) -> None:
    """Run the template's own tests.

    Mocked APIs skip the permission check, as in Google's editor. Exits with 1 if a test fails or
    the template has none. With --watch, runs them again whenever the file changes, until Ctrl-C.

    Example: `twite tag test template.tpl --watch`
    """
    if not watch:
        if not _have_passed(file, junit_file, as_json=as_json):
            raise typer.Exit(1)
        return
    for _ in _changes(file):
        try:
            _have_passed(file, junit_file, as_json=as_json)
        except SettingsError as error:  # the next version of the file may be valid
            printing.complain(f"Error: {error}")
        if not as_json:
            printing.say(f"Waiting for a change of {file}. Ctrl-C ends.")


def _have_passed(file: Path, junit_file: Path | None, *, as_json: bool) -> bool:
    """Run the tests and print their results; return whether all passed, and there are any."""
    template = load_template(file)
    verdicts = verdicts_of(file, template)
    if junit_file is not None:
        junit_file.write_bytes(junit(template.name or file.name, verdicts))
    if as_json:
        printing.print_json(verdicts)
    else:
        _print_verdicts(template.name or file.name, verdicts)
    return bool(verdicts) and not any(verdict.failures for verdict in verdicts)


def _changes(file: Path) -> Iterator[None]:
    """Yield now, and after each change of the file. Editors may replace the file meanwhile."""
    before: tuple[int, int, int] | None = None
    while True:
        try:
            found = file.stat()
        except OSError:
            if before is None:
                yield  # the caller reports the error
                before = (0, 0, 0)
        else:
            state = (found.st_ino, found.st_mtime_ns, found.st_size)
            if state != before:
                before = state
                yield
        time.sleep(_BETWEEN_LOOKS)


def _print_verdicts(name: str, verdicts: tuple[ScenarioResult, ...]) -> None:
    for verdict in verdicts:
        mark = printing.styled("✗", "red") if verdict.failures else printing.styled("✓", "green")
        printing.say(mark, f" {verdict.name}")
        for failure in verdict.failures:
            where = placed(failure)
            printing.say(f"    {failure.message}{f' ({where})' if where else ''}")
    failed = sum(bool(verdict.failures) for verdict in verdicts)
    if not verdicts:
        printing.say(f"{name} has no tests.")
    else:
        printing.say(f"{name}: {len(verdicts) - failed} of {plural(len(verdicts), 'test')} passed.")
