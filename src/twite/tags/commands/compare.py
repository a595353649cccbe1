"""`twite compare`: compare a container's requests with those that another system sent."""

import asyncio
import os
from pathlib import Path
from secrets import token_bytes
from typing import Annotated

import msgspec
import typer

from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, prints
from twite.domain.plural import plural
from twite.tags.app.compare_settings import read_capture, shadow_of
from twite.tags.compare.comparison import VOLATILE, ComparisonSummary, summed
from twite.tags.redaction.shown_values import masked_value

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Captures, as JSON Lines")]
Which = Annotated[
    Path | None,
    typer.Option("--container", metavar="FILE", help="The container.toml to run"),
]
Whose = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="The source to use for all requests"),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore", metavar="PATTERN", help="Paths to ignore, such as '*.event_id'; repeatable"
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Also compare times and random values")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME", help="Compare only this tag; repeatable"),
]
ShowField = Annotated[
    list[str] | None,
    typer.Option("--show", metavar="FIELD", help="Do not mask this field's values; repeatable"),
]


class ComparisonReport(ComparisonSummary, frozen=True, kw_only=True):
    """The summary, and the number of secrets that are not available on this machine."""

    secrets_not_here: int


@prints(ComparisonReport)
def compare(
    files: Files,
    *,
    config: Config = DEFAULT_CONFIG,
    container: Which = None,
    source: Whose = None,
    ignore: Ignore = None,
    strict: Strict = False,
    tags: Tags = None,
    show: ShowField = None,
    as_json: Json = False,
) -> None:
    """Run the container, or else the tags, on captured traffic and send nothing.

    Each line of a capture contains the incoming `event` or `request`, and the requests that the
    other system `sent` for it. The two can also be on separate lines that have the same `trace`.
    Values that may be personal data or keys are masked. Events that the gateway would not send
    (consent, bots) are listed with the reason. Exits with 1 if anything differs.

    Example: `twite compare capture.jsonl --ignore '*.external_id'`
    """
    runs, stand_ins = asyncio.run(shadow_of(config, container, os.environ, source=source))
    known = runs.tags()
    for name in tags or ():
        if name not in known:
            there = ", ".join(known)
            raise typer.BadParameter(f"no tag {name!r}. Available: {there}", param_hint="--tag")
    ignored = (*(() if strict else VOLATILE), *(ignore or ()))
    chosen, trusted, salt = frozenset(tags or ()), frozenset(show or ()), token_bytes(16)
    cases = (case for file in files for case in read_capture(file))
    result = summed(
        (runs.compare(case, ignore=ignored, tags=chosen) for case in cases),
        lambda path, value: masked_value(path, value, shown=trusted, salt=salt),
    )
    if as_json:
        printing.print_json(
            ComparisonReport(**msgspec.structs.asdict(result), secrets_not_here=stand_ins)
        )
    else:
        _print(result)
        if stand_ins:
            printing.say(
                f"{plural(stand_ins, 'secret is', 'secrets are')} not available here (not set, or "
                "the key is missing). Fields that contain these secrets are not compared."
            )
    if not result.cases:
        printing.complain("The captures contain no requests to compare.")
    if not (result.cases and result.is_alike):
        raise typer.Exit(1)


def _print(summary: ComparisonSummary) -> None:
    for difference in summary.differences:
        printing.say(
            printing.styled("different", "yellow"),
            f" {difference.path} of “{difference.tag}”, {plural(difference.times, 'time')}",
        )
        printing.say(f"    {difference.url}")
        printing.say(
            f"    captured {difference.there}, Twite {difference.here} (line {difference.line})"
        )
    for word, counted in (
        ("missing", summary.missing),
        ("extra", summary.extra),
        ("failed", summary.failed),
        ("unread", summary.unread),
        ("not sent", summary.kept_back),
    ):
        for what, times in counted.items():
            printing.say(printing.styled(word, "bold red"), f" {what}, {plural(times, 'time')}")
    for path, times in summary.ignored.items():
        printing.say(printing.styled(f"ignored {path}, {plural(times, 'time')}", "dim"))
    lost, more = sum(summary.missing.values()), sum(summary.extra.values())
    kept = sum(summary.kept_back.values())
    not_sent = f" Twite did not send {plural(kept, 'event')}." if kept else ""
    printing.say(
        f"{plural(summary.cases, 'case')}. Requests: {summary.matched} match, {summary.different} "
        f"differ, {lost} only in the capture, {more} only in Twite's run.{not_sent}"
    )
