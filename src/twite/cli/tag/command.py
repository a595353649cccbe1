"""`twite tag`: test, run, try and lint a template, and print its fields."""

import asyncio
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer

from twite.app.try_tag import TagTrial, try_tag
from twite.cli import printing
from twite.cli.options import Json
from twite.cli.tag.listing import listed
from twite.cli.tag.preview import preview
from twite.config.form_block import form_block
from twite.config.templates import load_template, run_template, verdicts_of
from twite.config.values import local_url as local_url_of
from twite.domain.json_tree import Tree
from twite.domain.plural import plural
from twite.gtm.compare.capture import WrittenRequest
from twite.gtm.template.effects import AnyEffect
from twite.gtm.template.field_rules import remarks_on
from twite.gtm.template.fields import fill
from twite.gtm.template.form import FormRow, form_rows
from twite.gtm.template.lint import LintWarning, lint
from twite.gtm.template.sandbox import EffectAnswer, Turn
from twite.gtm.template.template import ScenarioResult, junit, placed
from twite.testing.vendor_rules import KnownPerson
from twite.testing.vendors import FakeVendor

Shape = TypeVar("Shape")
_LONGEST_MEANING: Final = 200  # the longest text in the table; JSON contains the whole text


File = Annotated[Path, typer.Argument(metavar="FILE", help="The template, a .tpl file")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit report")]
Given = Annotated[str, typer.Option("--data", metavar="JSON", help="The template's fields")]
Event = Annotated[str, typer.Option("--event", metavar="JSON", help="The event data")]
Request = Annotated[
    str,
    typer.Option("--request", metavar="JSON", help="The request as JSON: method, path, headers …"),
]
Told = Annotated[
    str | None,
    typer.Option("--answer", metavar="JSON", help="The response to each request: status, body …"),
]


To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="URL", help="Your own server on this machine, not the fake vendor"
    ),
]


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: int | None = 200
    headers: dict[str, str | list[str]] = {}
    body: str | None = ""
    reason: str | None = None


tag = typer.Typer(help="Example: `twite tag test template.tpl`", no_args_is_help=True)
tag.command("preview")(preview)
tag.command("list")(listed)


@tag.command("test")
def scenarios(file: File, *, junit_file: Junit = None, as_json: Json = False) -> None:
    """Run the template's own tests.

    Mocked APIs skip the permission check, as in Google's editor. Exits with 1 if a test fails or
    the template has none.

    Example: `twite tag test template.tpl --junit report.xml`
    """
    template = load_template(file)
    verdicts = verdicts_of(file, template)
    if junit_file is not None:
        junit_file.write_bytes(junit(template.name or file.name, verdicts))
    if as_json:
        printing.print_json(verdicts)
    else:
        _print_verdicts(template.name or file.name, verdicts)
    if not verdicts or any(verdict.failures for verdict in verdicts):
        raise typer.Exit(1)


@tag.command("run")
def run(
    file: File,
    *,
    given: Given = "{}",
    event: Event = "{}",
    request: Request = "{}",
    answer: Told = None,
    as_json: Json = False,
) -> None:
    """Run the template once and print its effects.

    No effect is performed.

    Pass JSON inline or as a file name. Missing fields get their defaults. Exits with 1 if the code
    throws, exceeds a limit or reports failure.

    Example: `twite tag run template.tpl --data '{"pixelId": "o8z6j"}' --event event.json`
    """
    template = load_template(file)
    data = _object(given, "--data")
    for remark in remarks_on(template.fields, data):
        printing.complain(f"{remark.field}: {remark.message}")
    answered = None if answer is None else _shaped(answer, "--answer", _Answer)
    turns = run_template(
        file,
        template,
        fields=fill(template.fields, data),
        event=_object(event, "--event"),
        request=_shaped(request, "--request", WrittenRequest).incoming(),
        answer=None if answered is None else EffectAnswer(id=0, **msgspec.structs.asdict(answered)),
    )
    last, returned = turns[-1], _returned_by(turns)
    effects = [effect for turn in turns for effect in turn.effects]
    if as_json:
        printing.print_json(
            {
                "effects": effects,
                "outcome": last.outcome,
                "returned": returned,
                "error": last.error,
                "waiting": last.waiting,
            }
        )
    else:
        _print_run(template.code.line, effects, turns)
    if last.error is not None or last.outcome == "failure":
        raise typer.Exit(1)


@tag.command("try")
def attempt(
    file: File,
    *,
    given: Given = "{}",
    event: Event = "{}",
    request: Request = "{}",
    to: To = None,
    as_json: Json = False,
) -> None:
    """Run the template once against a fake vendor on this machine.

    The fake vendor checks requests to X, Meta, TikTok, Pinterest, Snapchat and LinkedIn against the
    rules of their conversion APIs. It also checks the hashes of the event's email and phone number.
    Exits with 1 if a request has a problem, or the code throws or reports failure.

    Example: `twite tag try template.tpl --data fields.json --event event.json`
    """
    data, happened, incoming = (
        _object(given, "--data"),
        _object(event, "--event"),
        _shaped(request, "--request", WrittenRequest).incoming(),
    )
    load_template(file)
    with FakeVendor(_person_of(happened)) as vendor:
        local_url = vendor.url if to is None else local_url_of(to, "--to")
        trial = asyncio.run(
            try_tag(file, fields=data, event=happened, request=incoming, local_url=local_url)
        )
    for warning in trial.warnings:
        printing.complain(warning)
    outcome = trial.outcome
    error = outcome.barred or outcome.error
    if as_json:
        printing.print_json(
            {
                "requests": [
                    {
                        "vendor": found.vendor,
                        "method": found.request.method,
                        "url": f"https://{found.request.host}{found.request.path}",
                        "status": found.status,
                        "problems": found.problems,
                        "body": found.request.body,
                    }
                    for found in vendor.asked
                ],
                "outcome": outcome.outcome,
                "error": error,
                "cookies": trial.cookies,
                "logs": trial.lines,
            }
        )
    else:
        _print_trial(vendor, trial)
    if not outcome.succeeded or error or any(found.problems for found in vendor.asked):
        raise typer.Exit(1)


@tag.command("lint")
def linted(file: File, *, as_json: Json = False) -> None:
    """Check the code and the permissions of a template.

    Finds code that Google's compiler would refuse, and permissions that do not match it. Exits with
    1 if there is a finding.

    Example: `twite tag lint template.tpl`
    """
    found = lint(load_template(file))
    if as_json:
        printing.print_json(found)
    else:
        _print_findings(file, found)
    if found:
        raise typer.Exit(1)


@tag.command("fields")
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
        _complain(f"{last.error}{line}")
    printing.say(f"outcome: {last.outcome}")
    if any(not turn.waiting and turn.wake_at is not None for turn in turns[:-1]):
        printing.say("The code waited until the time limit for a promise that never settles.")
    if not last.done and not last.waiting:
        printing.say(f"The code is still waiting after {plural(len(turns), 'turn')}.")
    if last.waiting:
        printing.say("The code is waiting for responses. Pass them with --answer.")


def _print_trial(vendor: FakeVendor, trial: TagTrial) -> None:
    for found in vendor.asked:
        mark = printing.styled("✗", "red") if found.problems else printing.styled("✓", "green")
        address = f"{found.request.method} https://{found.request.host}{found.request.path}"
        told = f" ({found.vendor})" if found.vendor else ""
        printing.say(mark, f" {address} → {found.status}{told}")
        for problem in found.problems:
            printing.say(f"    {problem}")
    for name, value in trial.cookies.items():
        printing.say(f"cookie: {name}={value}")
    for line in trial.lines:
        printing.say(f"log: {line}")
    error = trial.outcome.barred or trial.outcome.error
    if error:
        _complain(error)
    printing.say(f"outcome: {trial.outcome.outcome}")


def _complain(error: str) -> None:
    # A plain JavaScript error already begins with "Error: ".
    printing.complain(f"Error: {error.removeprefix('Error: ')}")


def _person_of(event: dict[str, Tree]) -> KnownPerson:
    """Return the email and phone number of an event, if they are in plain text."""
    user = event.get("user_data")
    person = user if isinstance(user, dict) else {}
    email = person.get("email_address") or person.get("email") or event.get("email") or ""
    phone = person.get("phone_number") or person.get("phone") or event.get("phone") or ""
    return KnownPerson(
        email=email if isinstance(email, str) and "@" in email else "",
        phone=phone if isinstance(phone, str) and phone.startswith("+") else "",
    )


def _print_findings(file: Path, found: tuple[LintWarning, ...]) -> None:
    for warning in found:
        place = f"{file}:{warning.line}" if warning.line is not None else f"{file}"
        printing.say(f"{place}: {warning.message} ", printing.styled(f"[{warning.code}]", "dim"))
    if not found:
        printing.say("No findings.")


def _returned_by(turns: tuple[Turn, ...]) -> Tree:
    """Return what the code returned, at once or through a promise."""
    return next((turn.returned for turn in turns if turn.returned is not None), None)


def _object(text: str, option: str) -> dict[str, Tree]:
    return _shaped(text, option, dict[str, Tree])


def _shaped(text: str, option: str, shape: type[Shape]) -> Shape:
    try:
        content = text if text.lstrip().startswith("{") else Path(text).read_text("utf-8")
        return msgspec.json.decode(content.encode(), type=shape)
    except OSError as error:
        raise typer.BadParameter(
            f"{text} is neither a JSON object nor a file ({error.strerror})", param_hint=option
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
