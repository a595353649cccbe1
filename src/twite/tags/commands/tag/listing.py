"""`twite tag list`: list public templates that were tried, and identify downloaded files."""

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import Json, prints
from twite.tags.settings.gallery import PublicTemplate, named_like, public_templates, with_content
from twite.tags.settings.templates import load_template

_SHORT: Final = 7  # characters shown of a commit id

Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]…", help="Downloaded templates to check")
]
Find = Annotated[
    str, typer.Option("--find", metavar="WORD", help="Only names or repositories with this word")
]


class FileVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a file is a listed template; `similar` are templates with the same name."""

    file: str
    known: PublicTemplate | None
    similar: tuple[PublicTemplate, ...] = ()


@prints(list[FileVerdict], list[PublicTemplate])
def listed(paths: Files = None, *, find: Find = "", as_json: Json = False) -> None:
    """List public templates tried in Twite, or check your files.

    Lists each template's repository and commit, its permissions, and the results of its own tests
    and of the fake vendor. With files, compares each with the list by its SHA-256, and exits with 1
    if one is not in the list.

    Example: `twite tag list --find facebook`
    """
    if not paths:
        _print_list(named_like(find), as_json=as_json)
        return
    verdicts = [_verdict(path) for path in paths]
    if as_json:
        printing.print_json(verdicts)
    else:
        for verdict in verdicts:
            _print_verdict(verdict)
    if any(verdict.known is None for verdict in verdicts):
        raise typer.Exit(1)


def _print_list(found: tuple[PublicTemplate, ...], *, as_json: bool) -> None:
    if as_json:
        printing.print_json(found)
        return
    printing.print_table(
        ("name", "kind", "repository", "commit", "needs", "own tests", "fake vendor"),
        [
            (
                known.name,
                known.kind,
                known.repository,
                known.commit[:_SHORT],
                ", ".join(known.needs),
                _tests(known),
                known.tried,
            )
            for known in found
        ],
    )
    printing.say(f"{len(found)} of {len(public_templates())} templates.")


def _verdict(path: Path) -> FileVerdict:
    template = load_template(path)
    return FileVerdict(
        file=str(path),
        known=with_content(path.read_bytes()),
        similar=tuple(known for known in public_templates() if known.name == template.name),
    )


def _print_verdict(verdict: FileVerdict) -> None:
    known = verdict.known
    if known is not None:
        mark = printing.styled("✓", "green")
        attempts = f"; {known.tried}" if known.tried else ""
        place = f"{known.repository} at commit {known.commit[:_SHORT]}"
        printing.say(mark, f" {verdict.file}: {known.name} of {place}, {_tests(known)}{attempts}")
        return
    printing.say(printing.styled("✗", "red"), f" {verdict.file}: not in the list")
    for other in verdict.similar:
        printing.say(
            f"    {other.repository} has a template of this name with different content at "
            f"commit {other.commit[:_SHORT]}: the file is another version, or was changed"
        )


def _tests(template: PublicTemplate) -> str:
    return f"{template.passed} of {template.tests} passed" if template.tests else "no tests"
