"""`twite tag try`: run a template once against a fake vendor."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import Json, prints
from twite.tags.app.try_tag import TagTrial, try_tag
from twite.tags.commands.tag.arguments import (
    Event,
    File,
    Given,
    Request,
    complain,
    object_in,
    shaped,
)
from twite.tags.compare.capture import WrittenRequest
from twite.tags.json_tree import Tree
from twite.tags.settings.tables import local_url as local_url_of
from twite.tags.settings.templates import load_template
from twite.tags.vendors.vendor_checks import KnownPerson
from twite.tags.vendors.vendors import FakeVendor

To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="URL", help="Your own server on this machine, not the fake vendor"
    ),
]
_EMAILS: Final = ("email_address", "email")
_PHONES: Final = ("phone_number", "phone")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")


class TriedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the template; `vendor` is "" for a host without rules."""

    vendor: str
    method: str
    url: str
    status: int
    problems: tuple[str, ...]
    body: Tree


class TemplateTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that the fake vendor received, the outcome, and what the template logged."""

    requests: list[TriedRequest]
    outcome: str | None
    error: str | None
    cookies: Mapping[str, str]
    logs: tuple[str, ...]


@prints(TemplateTrial)
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

    The fake vendor checks requests to X, Meta, TikTok, Pinterest, Snapchat, LinkedIn, Reddit,
    Microsoft, OpenAI and Klaviyo against the rules of their conversion APIs. It also checks the
    hashes of the event's email and phone number. Exits with 1 if a request has a problem, or the
    code throws or reports failure.

    Example: `twite tag try template.tpl --data fields.json --event event.json`
    """
    data, happened, incoming = (
        object_in(given, "--data"),
        object_in(event, "--event"),
        shaped(request, "--request", WrittenRequest).incoming(),
    )
    load_template(file)
    with FakeVendor(_person_of(happened)) as vendor:
        local_url = vendor.url if to is None else local_url_of(to, "--to")
        trial = asyncio.run(
            try_tag(file, fields=data, event=happened, request=incoming, local_url=local_url)
        )
    for warning in (*trial.warnings, *_warnings_about_phones(happened)):
        printing.complain(warning)
    outcome = trial.outcome
    error = outcome.not_run or outcome.error
    if as_json:
        printing.print_json(
            TemplateTrial(
                requests=[
                    TriedRequest(
                        vendor=found.vendor,
                        method=found.request.method,
                        url=f"https://{found.request.host}{found.request.path}",
                        status=found.status,
                        problems=found.problems,
                        body=found.request.body,
                    )
                    for found in vendor.asked
                ],
                outcome=outcome.outcome,
                error=error,
                cookies=trial.cookies,
                logs=trial.lines,
            )
        )
    else:
        _print_trial(vendor, trial)
    if not outcome.succeeded or error or any(found.problems for found in vendor.asked):
        raise typer.Exit(1)


def _print_trial(vendor: FakeVendor, trial: TagTrial) -> None:
    for found in vendor.asked:
        mark = printing.styled("✗", "red") if found.problems else printing.styled("✓", "green")
        address = f"{found.request.method} https://{found.request.host}{found.request.path}"
        name = f" ({found.vendor})" if found.vendor else ""
        printing.say(mark, f" {address} → {found.status}{name}")
        for problem in found.problems:
            printing.say(f"    {problem}")
    for name, value in trial.cookies.items():
        printing.say(f"cookie: {name}={value}")
    for line in trial.lines:
        printing.say(f"log: {line}")
    error = trial.outcome.not_run or trial.outcome.error
    if error:
        complain(error)
    printing.say(f"outcome: {trial.outcome.outcome}")


def _person_of(event: dict[str, Tree]) -> KnownPerson:
    """Return the email and phone number of an event, if they are in plain text."""
    email = next((text for _, text in _texts(event, _EMAILS) if "@" in text), "")
    phones = [text for _, text in _texts(event, _PHONES) if not _DIGEST.fullmatch(text)]
    whole = next((text for text in phones if text.startswith("+")), "")
    return KnownPerson(email=email, phone=whole, phones=tuple(phones))


def _warnings_about_phones(event: dict[str, Tree]) -> Iterator[str]:
    for place, text in _texts(event, _PHONES):
        if not _E164.fullmatch(text) and not _DIGEST.fullmatch(text):
            yield (
                f"event: {place} is not in E.164 form, such as +442079460958. Most templates hash "
                "a phone number as it is, and vendors then do not find the person"
            )


def _texts(event: dict[str, Tree], names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    user = event.get("user_data")
    places = (("user_data.", user if isinstance(user, dict) else {}), ("", event))
    for prefix, fields in places:
        for name in names:
            value = fields.get(name)
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and text:
                    yield f"{prefix}{name}", text
