"""`twite import`: convert a server container export into configuration."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, prints, who
from twite.domain.plural import plural
from twite.tags.app.container_secrets import forget_secrets, keep_secrets, sealing_key
from twite.tags.app.importer import (
    ContainerChange,
    ImportDraft,
    Keep,
    PersonVariable,
    draft,
    no_more_needed,
    of_persons,
    write,
)
from twite.tags.importer.coverage import Support
from twite.tags.importer.plaintext_secrets import PlaintextSecret
from twite.tags.importer.report import ReportLine
from twite.tags.redaction.secrets import masked
from twite.tags.settings.containers import SEALED
from twite.tags.settings.tag_settings import TagSettings

PERSONS: Final = (
    "If server.secret_key is set, templates receive personal data in plain text. Without it, or "
    'with container.persons = "hashed", they receive emails and names as SHA-256, and no phone '
    "numbers."
)
_STYLES: Final = {
    Support.RUNS: "green",
    Support.DIFFERS: "yellow",
    Support.RESTS: "dim",
    Support.PAUSED: "bold yellow",
    Support.LEFT_OUT: "bold red",
}

File = Annotated[Path, typer.Argument(metavar="FILE", help="The export, a .json file")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write container.toml")]
Secrets = Annotated[
    Keep,
    typer.Option("--secrets", help="Encrypt secrets into the store, or use environment variables"),
]
Named = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME",
        help="Treat this as a secret: a field, TAG.FIELD or a variable; repeatable",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Overwrite manual edits")]
Allow = Annotated[
    bool,
    typer.Option("--allow-left-out", help="Exit with 0 even if a part of the container cannot run"),
]
AllowPlainText = Annotated[
    bool,
    typer.Option(
        "--allow-plain-text", help="Exit with 0 even if a file contains a plain-text secret"
    ),
]
Report = Annotated[
    bool, typer.Option("--report", help="Print the report and write nothing; needs no settings")
]
_WORDS: Final = {
    Support.RUNS: "run",
    Support.DIFFERS: "run differently",
    Support.RESTS: "stay paused, as before",
    Support.PAUSED: "are paused until you decide",
    Support.LEFT_OUT: "are left out",
}


class KeptSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret of the export: its place in the part, and where it is kept now."""

    kind: str
    name: str
    path: str
    kept: str


class ImportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of an import: `container` is its file, `whole` that every part will run.

    `forgotten` are deleted secrets, and `changes` what differs from the last import.
    """

    container: str
    whole: bool
    parts: Sequence[ReportLine]
    secrets: tuple[KeptSecret, ...]
    in_plain_text: Sequence[PlaintextSecret]
    persons: tuple[PersonVariable, ...]
    forgotten: Sequence[str]
    changes: tuple[ContainerChange, ...]


@prints(ImportOutcome)
def import_container(
    file: File,
    *,
    config: Config = DEFAULT_CONFIG,
    out: Out = Path(),
    keep: Secrets = "sealed",
    named: Named = None,
    overwrite: Overwrite = False,
    allow: Allow = False,
    allow_plain_text: AllowPlainText = False,
    report: Report = False,
    as_json: Json = False,
) -> None:
    """Prints whether each part will run, or what to use instead.

    Writes container.toml and the templates next to it, readable only by you. Values that look like
    secrets are encrypted into the store; secrets that must stay in a file in plain text are listed.
    Importing again shows what changed, and deletes secrets that are no longer used. Exits with 1 if
    something will not run, or if a file contains a plain-text secret.

    Example: `twite import container.json --out server-container`
    """
    made = draft(file, out, keep=keep, named=named or (), overwrite=overwrite, near=config.parent)
    sealed = made.found.secrets if keep == "sealed" else ()
    named_so = masked(made.found.container.public_id)
    needs = not report and bool(sealed or made.left_behind)
    settings = load(config) if needs else None
    if settings is not None and sealed:
        seal = sealing_key(settings)
        secrets = {field.kept.removeprefix(SEALED): field.secret for field in sealed}
        asyncio.run(keep_secrets(settings, seal, secrets, by=who(), container=named_so))
    if not report:
        write(made)
    gone: tuple[str, ...] = ()
    if settings is not None:
        imported = settings.feature(TagSettings).imported
        gone = no_more_needed(made, None if imported is None else imported.path)
        asyncio.run(forget_secrets(settings, gone, by=who(), container=named_so))
    if as_json:
        _print_json(made, gone)
    else:
        _print(made, gone, report=report)
    if not (made.found.is_whole or allow) or (made.found.in_plain_text and not allow_plain_text):
        raise typer.Exit(1)


def _print(draft: ImportDraft, gone: Sequence[str], *, report: bool) -> None:
    for line in draft.found.lines:
        _print_line(line)
    _print_secrets(draft, gone)
    for reads in of_persons(draft.found.container):
        printing.say(
            printing.styled("person", "bold"),
            f" variable “{masked(reads.variable)}” {masked(reads.key)}",
        )
    for change in () if draft.is_first else draft.changes:
        printing.say(f"{change.what}: {change.kind} “{masked(change.name)}”")
    if not draft.is_first and not draft.changes:
        printing.say("Nothing changed since the last import.")
    counted = Counter(line.fit for line in draft.found.lines)
    counts = ", ".join(f"{counted[fit]} {_WORDS[fit]}" for fit in Support if counted[fit])
    count = len(draft.found.in_plain_text)
    more = f"; {plural(count, 'secret')} in plain text" * bool(count)
    printing.say(f"{draft.path}: {counts}{more}.")
    if report:
        printing.say("Nothing was written (--report).")
        return
    printing.say("Only you can read the file and its templates (mode 0600).")
    if draft.is_first:
        printing.say(f'To run the container: [container] file = "{draft.path}" in twite.toml.')
        printing.say(PERSONS)
    if any(secret.kept.startswith("env:") for secret in draft.found.secrets):
        printing.say("Set the variables above in the gateway's environment.")


def _print_secrets(draft: ImportDraft, gone: Sequence[str]) -> None:
    for secret in draft.found.secrets:
        printing.say(
            printing.styled("secret", "bold"), f" {secret.kind} “{secret.name}” {secret.path}"
        )
        printing.say(f"    stored as {secret.kept}")
    for left in draft.found.in_plain_text:
        named = f" “{left.name}”" if left.name else ""
        printing.say(
            printing.styled("in plain text", "bold red"), f" {left.kind}{named} {left.path}"
        )
        printing.say(f"    looks like a secret in plain text: {left.fix}")
    for name in gone:
        printing.say(f"deleted: {name}, which this container no longer uses")


def _print_line(line: ReportLine) -> None:
    named = f" “{line.name}”" if line.name else ""
    printing.say(printing.styled(f"{line.fit:8}", _STYLES[line.fit]), f" {line.kind}{named}")
    for note in line.notes:
        printing.say(f"    {note}")


def _print_json(draft: ImportDraft, gone: Sequence[str]) -> None:
    printing.print_json(
        ImportOutcome(
            container=str(draft.path),
            whole=draft.found.is_whole,
            parts=draft.found.lines,
            secrets=tuple(
                KeptSecret(kind=secret.kind, name=secret.name, path=secret.path, kept=secret.kept)
                for secret in draft.found.secrets
            ),
            in_plain_text=draft.found.in_plain_text,
            persons=tuple(
                PersonVariable(variable=masked(reads.variable), key=masked(reads.key))
                for reads in of_persons(draft.found.container)
            ),
            forgotten=gone,
            changes=tuple(
                msgspec.structs.replace(change, name=masked(change.name))
                for change in draft.changes
            ),
        )
    )
