"""`twite tag`: run and lint a template, and print its fields. The other commands have own files."""

from pathlib import Path
from typing import Final

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import Json, prints
from twite.domain.plural import plural
from twite.tags.commands.tag.arguments import (
    Answer,
    Event,
    File,
    Given,
    Request,
    complain,
    object_in,
    shaped,
)
from twite.tags.commands.tag.attempt import attempt
from twite.tags.commands.tag.listing import listed
from twite.tags.commands.tag.preview import preview
from twite.tags.commands.tag.scenarios import scenarios
from twite.tags.compare.capture import WrittenRequest
from twite.tags.json_tree import Tree
from twite.tags.settings.form_block import form_block
from twite.tags.settings.templates import load_template, run_template, syntax_errors
from twite.tags.template.effects import AnyEffect
from twite.tags.template.field_rules import remarks_on
from twite.tags.template.fields import fill
from twite.tags.template.form import FormRow, form_rows
from twite.tags.template.lint import LintWarning, lint, syntax_warning
from twite.tags.template.sandbox import EffectAnswer, Turn

_LONGEST_MEANING: Final = 200  # the longest text in the table; JSON contains the whole text


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: int | None = 200
    headers: dict[str, str | list[str]] = {}
    body: str | None = ""
    reason: str | None = None


class RunPrinted(msgspec.Struct, frozen=True, kw_only=True):
    """The effects of a run in order, its outcome, and what the code returned.

    `waiting` are the ids of effects that wait for a response.
    """

    effects: list[AnyEffect]
    outcome: str | None
    returned: Tree
    error: str | None
    waiting: tuple[int, ...]


tag = typer.Typer(help="Example: `twite tag test template.tpl`", no_args_is_help=True)
tag.command("test")(scenarios)
tag.command("try")(attempt)
tag.command("preview")(preview)
tag.command("list")(listed)


@tag.command("run")
@prints(RunPrinted)
def run(
    file: File,
    *,
    given: Given = "{}",
    event: Event = "{}",
    request: Request = "{}",
    answer: Answer = None,
    as_json: Json = False,
) -> None:
    """Run the template once and print its effects.

    No effect is performed.

    Pass JSON inline or as a file name. Missing fields get their defaults. Exits with 1 if the code
    throws, exceeds a limit or reports failure.

    Example: `twite tag run template.tpl --data '{"pixelId": "o8z6j"}' --event event.json`
    """
    template = load_template(file)
    data = object_in(given, "--data")
    for remark in remarks_on(template.fields, data):
        printing.complain(f"{remark.field}: {remark.message}")
    answered = None if answer is None else shaped(answer, "--answer", _Answer)
    turns = run_template(
        file,
        template,
        fields=fill(template.fields, data),
        event=object_in(event, "--event"),
        request=shaped(request, "--request", WrittenRequest).incoming(),
        answer=None if answered is None else EffectAnswer(id=0, **msgspec.structs.asdict(answered)),
    )
    last, returned = turns[-1], _returned_by(turns)
    effects = [effect for turn in turns for effect in turn.effects]
    if as_json:
        printing.print_json(
            RunPrinted(
                effects=effects,
                outcome=last.outcome,
                returned=returned,
                error=last.error,
                waiting=last.waiting,
            )
        )
    else:
        _print_run(template.code.line, effects, turns)
    if last.error is not None or last.outcome == "failure":
        raise typer.Exit(1)


@tag.command("lint")
@prints(list[LintWarning])
def linted(file: File, *, as_json: Json = False) -> None:
    """Check the code and the permissions of a template.

    Finds syntax errors, code that Google's compiler would refuse, and permissions that do not match
    it. Exits with 1 if there is a finding.

    Example: `twite tag lint template.tpl`
    """
    template = load_template(file)
    found = (*map(syntax_warning, syntax_errors(template)), *lint(template))
    if as_json:
        printing.print_json(found)
    else:
        _print_findings(file, found)
    if found:
        raise typer.Exit(1)


@tag.command("fields")
@prints(list[FormRow])
def form(file: File, *, as_json: Json = False) -> None:
    """Print the template's fields, and a block for twite.toml.

    The block sets required fields and defaults. Other fields are comments.

    Example: `twite tag fields template.tpl`
    """
    template = load_template(file)
    rows = form_rows(template.fields)
    if as_json:
        printing.print_json(rows)
        return
    printing.print_table(
        ("field", "type", "default", "used if", "meaning"),
        [_form_cells(row) for row in rows],
        title=template.name or file.name,
    )
    for line in form_block(template, file.name).splitlines():
        printing.say(line)


def _form_cells(row: FormRow) -> tuple[str, ...]:
    choices = ", ".join(msgspec.json.encode(choice).decode() for choice in row.choices)
    return (
        row.name,
        f"{row.type}{', required' if row.required else ''}{f': {choices}' if choices else ''}",
        "" if row.default is None else msgspec.json.encode(row.default).decode(),
        row.when,
        printing.safe(
            ". ".join(text.removesuffix(".") for text in (row.label, row.help) if text),
            longest=_LONGEST_MEANING,
        ),
    )


def _print_run(code_line: int, effects: list[AnyEffect], turns: tuple[Turn, ...]) -> None:
    for effect in effects:
        fields = msgspec.to_builtins(effect)
        kind = fields.pop("effect")
        printing.say(printing.styled(kind, "bold"), f" {msgspec.json.encode(fields).decode()}")
    last = turns[-1]
    returned = _returned_by(turns)
    if returned is not None:
        printing.say(f"returned {msgspec.json.encode(returned).decode()}")
    if last.error is not None:
        line = f" (line {code_line + last.line - 1})" if last.line is not None else ""
        complain(f"{last.error}{line}")
    printing.say(f"outcome: {last.outcome}")
    if any(not turn.waiting and turn.wake_at is not None for turn in turns[:-1]):
        printing.say("The code waited until the time limit for a promise that never settles.")
    if not last.done and not last.waiting:
        printing.say(f"The code is still waiting after {plural(len(turns), 'turn')}.")
    if last.waiting:
        printing.say("The code is waiting for responses. Pass them with --answer.")


def _print_findings(file: Path, found: tuple[LintWarning, ...]) -> None:
    for warning in found:
        place = f"{file}:{warning.line}" if warning.line is not None else f"{file}"
        printing.say(f"{place}: {warning.message} ", printing.styled(f"[{warning.code}]", "dim"))
    if not found:
        printing.say("No findings.")


def _returned_by(turns: tuple[Turn, ...]) -> Tree:
    """Return what the code returned, at once or through a promise."""
    return next((turn.returned for turn in turns if turn.returned is not None), None)
