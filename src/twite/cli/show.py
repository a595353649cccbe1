"""`twite show`: show the history of a conversion, as text or JSON."""

import asyncio
from typing import Annotated, Final

import typer

from twite.app.reports.conversion_report import why_waiting
from twite.app.reports.find_conversions import MOST, Findings, FoundReport, find, found_report
from twite.app.reports.not_sent import NotSentReport, find_any, not_sent_report
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, Pixel, load, prints
from twite.cli.rejected import print_rejection
from twite.config.settings import Settings
from twite.domain.delivery import NO_REQUEST, State
from twite.domain.errors import UnknownName
from twite.domain.history import History, PastAttempt
from twite.domain.plural import plural
from twite.domain.times import spelled
from twite.domain.value_change import change_text
from twite.gateway.operations.explain import compact
from twite.gateway.ports.tags import PREFIX
from twite.http.routes.reports import gained_views
from twite.redaction.mask_tree import masked_words

_LONGEST_ANSWER: Final = 300
# How many conversions without an ID.
_MOST_LATEST: Final = 100
_LONGEST_EVIDENCE: Final = 2_000
_STYLES: Final = {
    State.DELIVERED: "green",
    State.HELD: "bold yellow",
    State.DEAD: "bold red",
    State.SUPPRESSED: "dim",
}
Why = Annotated[bool, typer.Option("--why", help="Print only why it was not sent, and what to do")]


@prints(FoundReport, NotSentReport)
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help="A conversion id, the receipt of a request, or the SHA-256 of an email or phone",
        ),
    ] = None,
    *,
    config: Config = DEFAULT_CONFIG,
    pixel: Pixel = None,
    why: Why = False,
    as_json: Json = False,
) -> None:
    """Searches all pixels and the rejected conversions. Exits with 1 if nothing is found.

    `twite show --why` without an ID lists the latest conversions that were not sent.

    Example: `twite show order-1001 --pixel o8z6j`
    """
    settings = load(config)
    if name is None and not why:
        raise typer.BadParameter("name a conversion, or pass --why", param_hint="ID")
    try:
        limit = _MOST_LATEST if name is None else MOST
        findings = asyncio.run(find_any(settings, name, pixel, limit=limit))
    except UnknownName as unknown:
        raise typer.BadParameter(str(unknown), param_hint="--pixel") from None
    if as_json:
        report = not_sent_report(findings) if why else found_report(findings)
        printing.print_json(report)
    elif why:
        _print_why(not_sent_report(findings))
    else:
        _print_findings(findings)
    if findings.more:
        printing.complain("There are more conversions than shown.")
    if findings.rejections or findings.histories:
        return
    if name is None:
        printing.complain("All conversions of the store were sent, or wait in the queue.")
        return
    if pixel is not None and pixel.startswith(PREFIX):
        for reason in _not_fired(settings, name, pixel):
            printing.complain(f"{pixel} did not fire for {name}: {printing.safe(reason)}")
            raise typer.Exit(1)
    printing.complain(
        f"Found nothing for {name}. Rejected conversions are kept for seven days: "
        "twite rejected lists them."
    )
    raise typer.Exit(1)


def _print_findings(findings: Findings) -> None:
    for index, history in enumerate(findings.histories):
        if index:
            printing.say("")
        print_history(history, now=findings.now, stalled=findings.stalled.get(history.pixel))
    for index, rejection in enumerate(findings.rejections, len(findings.histories)):
        if index:
            printing.say("")
        print_rejection(rejection)


def _print_why(report: NotSentReport) -> None:
    for why in report.not_sent:
        named = f"{why.conversion_id or 'no conversion id'}  event {why.event or 'none'}"
        whose = f" of {why.pixel}" if why.pixel else ""
        printing.say(f"{named}{whose}: {why.state}")
        printing.say(f"  because      {printing.safe(why.reason)}")
        if why.what:
            printing.say(f"  meaning      {why.what}")
        if why.fix:
            printing.say(f"  → {why.fix}")
    if report.sent:
        printing.say(f"{plural(report.sent, 'copy', 'copies')} delivered.")


def _not_fired(settings: Settings, name: str, tag: str) -> list[str]:
    """Return why a tag did not fire for a conversion that other destinations received."""
    return [
        not_fired.why
        for history in asyncio.run(find(settings, name, None)).histories
        for not_fired in history.not_fired
        if not_fired.tag == tag
    ]


def print_history(history: History, *, now: int, stalled: str | None = None) -> None:
    """Print a history with all details. `now` is in milliseconds; `stalled` explains a wait."""
    state = printing.styled(history.state.value, _STYLES.get(history.state, "bold"))
    printing.say(
        f"{history.conversion_id}  event {history.event} of pixel {history.pixel}: ", state
    )
    if history.reason:
        printing.say(f"  because      {_safe(history.reason)}")
    if (why := why_waiting(history, now=now, stalled=stalled)) is not None:
        printing.say(f"  waits        {_safe(why)}")
    printing.say(f"  source       {history.source}")
    printing.say(f"  receipt      {history.receipt}")
    printing.say(f"  received at  {spelled(history.received_at)}")
    if history.due_at is not None:
        printing.say(f"  next attempt {spelled(history.due_at)}")
    printing.say(f"  deadline at  {spelled(history.deadline_at)}")
    printing.say(f"  duplicates   {history.duplicates}")
    printing.say(f"  delivery     {history.delivery}")
    _print_copies(history)
    _print_additions(history)
    body = compact(history.sent).decode() if history.sent else "no longer kept, or damaged"
    if history.consent is not None:
        shown = printing.safe(compact(history.consent).decode(), longest=_LONGEST_EVIDENCE)
        printing.say(f"  consent      {shown}")
    printing.say(f"  body         {body}")
    for tag in history.not_fired:
        why = printing.safe(tag.why, longest=_LONGEST_ANSWER)
        printing.say(f"  {printing.safe(tag.tag, longest=60):<12} did not fire: {why}")
    if not history.attempts:
        printing.say("  no attempt yet")
    other = "the recipient" if history.pixel.startswith(PREFIX) else "X"
    for number, attempt in enumerate(history.attempts, 1):
        status, answer = _answered(attempt)
        doubt = f", and {other} may have processed it" if attempt.ambiguous else ""
        printing.say(
            f"  attempt {number}    {spelled(attempt.at)}  {attempt.outcome}, {status}{doubt}"
        )
        if answer:
            printing.say(f"               {_safe(answer)}")


def _print_additions(history: History) -> None:
    """Print what the conversion gained while it waited, and what a value rule made of it."""
    for gained in gained_views(history):
        aged = "" if gained.age is None else f": {gained.age}"
        printing.say(
            f"  gained       {gained.identifier} from {_safe(gained.origin)}, "
            f"known since {gained.at}{aged}"
        )
    if history.value_change is not None:
        printing.say(f"  value rule   {_safe(change_text(history.value_change))}")


def _print_copies(history: History) -> None:
    if history.superseded_by is not None:
        printing.say(f"  superseded by delivery {history.superseded_by}, a later copy")
    if history.supersedes:
        older = ", ".join(str(supersede) for supersede in history.supersedes)
        printing.say(f"  supersedes   delivery {older}")


def _answered(attempt: PastAttempt) -> tuple[str, str]:
    """Return the response's status, and its text."""
    if attempt.is_without_request:
        return "made no request", attempt.answer.removeprefix(NO_REQUEST).removeprefix(": ")
    status = "no answer" if attempt.status is None else f"HTTP {attempt.status}"
    return status, attempt.answer


def _safe(text: str) -> str:
    return printing.safe(masked_words(text), longest=_LONGEST_ANSWER)
