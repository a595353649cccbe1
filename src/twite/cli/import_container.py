"""`twite import`: a server container, as Google's tag manager exports it, becomes configuration."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from twite.assembly.containers import SEALED
from twite.assembly.importing import Draft, Keep, draft, write
from twite.assembly.vaulting import keep_secrets, sealing_key
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, text
from twite.sgtm.export.coverage import Fit
from twite.sgtm.export.lines import Line

EXAMPLE: Final = "Example: `twite import container.json --out server-container`"
PERSONS: Final = (
    'Email and phone reach its templates hashed (container.persons = "hashed", the default): one '
    'that hashes by itself would hash the hash. persons = "sealed" and server.secret_key give '
    "them as they came."
)
_STYLES: Final = {
    Fit.RUNS: "green",
    Fit.DIFFERS: "yellow",
    Fit.RESTS: "dim",
    Fit.PAUSED: "bold yellow",
    Fit.LEFT_OUT: "bold red",
}

File = Annotated[Path, typer.Argument(metavar="FILE", help="The export, a .json file.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where container.toml goes.")]
Secrets = Annotated[
    Keep,
    typer.Option(
        "--secrets", help="Where secrets go: sealed into the store, or named as env variables."
    ),
]
Named = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME",
        help="A secret that does not look like one: a field, TAG.FIELD, or a variable.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Write over what was changed by hand since.")
]
Allow = Annotated[
    bool, typer.Option("--allow-left-out", help="Exit 0 also where something will not run.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import", help=text("import", import_container, EXAMPLE))(import_container)


def import_container(
    file: File,
    *,
    config: Config = DEFAULT_CONFIG,
    out: Out = Path(),
    keep: Secrets = "sealed",
    named: Named = None,
    overwrite: Overwrite = False,
    allow: Allow = False,
    as_json: Json = False,
) -> None:
    """A line for every part says what will run, what will not, and what to use instead.

    Writes container.toml, and the templates beside it. What looks like a secret goes sealed into
    the store, never into the file. Importing again shows what changed. Exits 1 when something
    will not run.
    """
    made = draft(file, out, keep=keep, named=named or (), overwrite=overwrite)
    if made.found.secrets and keep == "sealed":
        settings = load(config, credentials=False)
        seal = sealing_key(settings, otherwise="or say --secrets env, and set them yourself")
        secrets = {one.kept.removeprefix(SEALED): one.secret for one in made.found.secrets}
        asyncio.run(keep_secrets(settings, seal, secrets))
    write(made)
    if as_json:
        _print_json(made)
    else:
        _print(made)
    if not made.found.is_whole and not allow:
        raise typer.Exit(1)


def _print(made: Draft) -> None:
    for line in made.found.lines:
        _print_line(line)
    for one in made.found.secrets:
        printing.say(printing.styled("secret", "bold"), f" {one.kind} “{one.name}” {one.path}")
        printing.say(f"    kept as {one.kept}")
    for change in () if made.is_first else made.changes:
        printing.say(f"{change.what}: {change.kind} “{change.name}”")
    if not made.is_first and not made.changes:
        printing.say("Nothing changed since the last import.")
    counted = Counter(line.fit for line in made.found.lines)
    told = ", ".join(f"{counted[fit]} {_WORDS[fit]}" for fit in Fit if counted[fit])
    printing.say(f"{made.path}: {told}.")
    if made.is_first:
        printing.say(f'To run it: [container] file = "{made.path}" in twite.toml.')
        printing.say(PERSONS)
    if any(one.kept.startswith("env:") for one in made.found.secrets):
        printing.say("Set the variables above where the gateway is started.")


def _print_line(line: Line) -> None:
    named = f" “{line.name}”" if line.name else ""
    printing.say(printing.styled(f"{line.fit:8}", _STYLES[line.fit]), f" {line.kind}{named}")
    for note in line.notes:
        printing.say(f"    {note}")


def _print_json(made: Draft) -> None:
    printing.print_json(
        {
            "container": str(made.path),
            "whole": made.found.is_whole,
            "parts": made.found.lines,
            "secrets": [
                {"kind": one.kind, "name": one.name, "path": one.path, "kept": one.kept}
                for one in made.found.secrets
            ],
            "changes": made.changes,
        }
    )


_WORDS: Final = {
    Fit.RUNS: "run",
    Fit.DIFFERS: "run with a difference",
    Fit.RESTS: "rest, as before",
    Fit.PAUSED: "are paused until you decide",
    Fit.LEFT_OUT: "are left out",
}
