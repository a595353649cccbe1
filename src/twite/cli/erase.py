"""`twite erase`: erase a person from the store."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from twite.app.erase import EraseRequest, EraseResult, PayloadReader, erase, look
from twite.app.store_access import engine_of
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, known_pixel, load, option, prints, who
from twite.config import values
from twite.config.settings import Settings
from twite.domain.fault import Fault
from twite.domain.people.erasure import (
    CLICK,
    CONVERSION_ID,
    EMAIL,
    KINDS,
    PHONE,
    ErasureIdentifier,
    asked,
)
from twite.domain.plural import plural
from twite.gateway.ports.privacy import EraseTraces

_STDIN: Final = Path("-")
_LINES: Final = 100_000
_OLD_IN_LOG: Final = (
    "The write-ahead log could not be emptied, because another process is reading the database. "
    "Run the command again later. Until then, twite.db-wal contains the erased data."
)
_OLD_ON_SERVER: Final = (
    "PostgreSQL could not remove the old versions of the erased rows, because an older "
    "transaction, a standby or a replication slot may still read them. End it, then run VACUUM in "
    "the database. Until then, its files contain the erased data."
)

Emails = Annotated[
    list[str] | None, option("--email", "EMAIL", "An email or its SHA-256; repeatable")
]
Phones = Annotated[
    list[str] | None, option("--phone", "PHONE", "A phone number or its SHA-256; repeatable")
]
Clicks = Annotated[list[str] | None, option("--click", "TWCLID", "A click id; repeatable")]
Ids = Annotated[list[str] | None, option("--conversion-id", "ID", "A conversion id; repeatable")]
File = Annotated[
    Path | None,
    option("--file", "FILE", "A file with lines such as `email: …`; - for standard input"),
]
Region = Annotated[
    str | None, option("--region", "CC", "The country of phone numbers without a country code")
]
OfPixel = Annotated[str | None, option("--pixel", "ID", "Limit conversion ids to this pixel")]
Returns = Annotated[
    bool,
    typer.Option("--may-return", help="Do not suppress later conversions with these identifiers"),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be erased without erasing it")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation")]


class TracesFound(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has of a person. `conversions` counts by pixel and state.

    `tag_events` are queued for tags, and `unopened_tag_events` cannot be decrypted; `submissions`
    are requests; `dedup_rows` and `visitor_rows` are those of two reports.
    """

    conversions: Mapping[str, Mapping[str, int]]
    tag_events: int
    unopened_tag_events: int
    submissions: int
    dedup_rows: int
    visitor_rows: int
    texts: int
    audit_lines: int


class ErasureReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what was erased; `result` is null in a dry run."""

    identifiers: int
    dry_run: bool
    found: TracesFound
    result: EraseResult | None


@prints(ErasureReport)
def erase_persons(
    *,
    config: Config = DEFAULT_CONFIG,
    email: Emails = None,
    phone: Phones = None,
    click: Clicks = None,
    conversion_id: Ids = None,
    file: File = None,
    region: Region = None,
    pixel: OfPixel = None,
    may_return: Returns = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """The gateway keeps running. Counts are kept; the person's queued conversions are not sent.

    Identifiers on the command line stay in the shell's history: use a file or standard input.
    Erase data at X, in backups and in your own files separately.

    Example: `twite erase --file requests.txt --dry-run`
    """
    if as_json and not yes and not dry_run:
        raise typer.BadParameter("asks nothing: add --yes or --dry-run", param_hint="--json")
    settings = load(config)
    known_pixel(settings, pixel)
    given = [
        *((f"--{EMAIL}", EMAIL, address) for address in email or ()),
        *((f"--{PHONE}", PHONE, number) for number in phone or ()),
        *((f"--{CLICK}", CLICK, click_id) for click_id in click or ()),
        *(("--conversion-id", CONVERSION_ID, id_) for id_ in conversion_id or ()),
        *(_lines(file) if file is not None else ()),
    ]
    if not given:
        raise typer.BadParameter("give --file or an identifier")
    wish = EraseRequest(
        asked=_read(given, region=_region(settings, region)),
        pixel=pixel,
        returns=may_return,
        who=who(),
    )
    payloads = PayloadReader(settings)
    found = asyncio.run(look(settings, wish, opened=payloads.opened))
    if dry_run:
        _print_result(wish, found, payloads, result=None, as_json=as_json)
        return
    if not yes:
        _print_result(wish, found, payloads, result=None, as_json=False)
        can_ask = file != _STDIN and sys.stdin.isatty()
        if not can_ask or not typer.confirm("Erase this data permanently?", err=True):
            printing.complain("Nothing was erased. Use --yes to erase without confirmation.")
            raise typer.Exit(1)
    done = asyncio.run(
        erase(settings, wish, found, opened=payloads.opened, report=printing.complain)
    )
    _print_result(wish, found, payloads, result=done, as_json=as_json)
    if not done.is_log_empty and not as_json:
        printing.complain(_OLD_ON_SERVER if engine_of(settings).is_server else _OLD_IN_LOG)
    if done.left or not done.is_log_empty:
        raise typer.Exit(1)


def _lines(file: Path) -> list[tuple[str, str, str]]:
    """Read (where, kind, text) from each line. Errors give the line number, not the content."""
    try:
        content = sys.stdin.read() if file == _STDIN else file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as failure:
        why = getattr(failure, "strerror", None) or "not UTF-8"
        raise typer.BadParameter(f"cannot be read ({why})", param_hint="--file") from None
    found = []
    for number, line in enumerate(content.splitlines()[:_LINES], 1):
        plain = line.strip()
        if not plain or plain.startswith("#"):
            continue
        kind, colon, rest = plain.partition(":")
        kind = kind.strip().lower().replace("-", "_")
        if not colon or kind not in KINDS:
            raise typer.BadParameter(
                f"line {number} must begin with one of {', '.join(KINDS)}, and a colon",
                param_hint="--file",
            )
        found.append((f"line {number}", kind, rest))
    return found


def _region(settings: Settings, region: str | None) -> str | None:
    """Return the given region, or the region of the sources if they agree; else None."""
    if region is not None:
        return values.region(region.upper(), "--region")
    regions = {source.region for source in settings.sources()} - {None}
    return regions.pop() if len(regions) == 1 else None


def _read(
    given: Sequence[tuple[str, str, str]], *, region: str | None
) -> tuple[ErasureIdentifier, ...]:
    found = []
    for where, kind, written in given:
        identifier = asked(kind, written, region=region)
        if isinstance(identifier, Fault):
            raise typer.BadParameter(f"{where}: {identifier.message}")
        found.append(identifier)
    return tuple(found)


def _print_result(
    request: EraseRequest,
    traces: EraseTraces,
    payloads: PayloadReader,
    *,
    result: EraseResult | None,
    as_json: bool,
) -> None:
    if as_json:
        printing.print_json(
            ErasureReport(
                identifiers=len(request.asked),
                dry_run=result is None,
                found=TracesFound(
                    conversions=traces.states,
                    tag_events=traces.payloads,
                    unopened_tag_events=len(payloads.unopened),
                    submissions=len(traces.cuts),
                    dedup_rows=len(traces.dedup_rows),
                    visitor_rows=len(traces.known),
                    texts=len(traces.texts),
                    audit_lines=traces.audit_events,
                ),
                result=result,
            )
        )
        return
    if result is None:
        _would(request, traces, payloads)
        return
    printing.say(
        f"Erased: {plural(result.conversions, 'conversion')}, "
        f"{plural(result.submissions, 'stored request')}, "
        f"{plural(result.dedup_rows, 'row')} of the deduplication report, "
        f"{plural(result.texts, 'other text')}."
    )
    if result.listed:
        printing.say("Twite suppresses later conversions with these identifiers (consent_revoked).")
    if result.left:
        printing.complain(
            f"{plural(result.left, 'conversion is', 'conversions are')} still in flight to X. Run "
            "the command again in a minute."
        )
    printing.say(
        "Not erased: data at X, in backups and in your own files. Keep the list of "
        "identifiers, and repeat the erasure after you restore a backup."
    )


def _would(request: EraseRequest, traces: EraseTraces, payloads: PayloadReader) -> None:
    total = sum(sum(states.values()) for states in traces.states.values())
    printing.say(f"Identifiers: {len(request.asked)}. Found:")
    printing.say(f"  conversions  {total}")
    for pixel, states in sorted(traces.states.items()):
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        printing.say(f"    {pixel}: {counts}")
    printing.say(f"  tag events   {traces.payloads} (included in the conversions)")
    printing.say(f"  requests     {len(traces.cuts)}")
    printing.say(f"  report rows  {len(traces.dedup_rows)}")
    printing.say(f"  visitor rows {len(traces.known)}")
    printing.say(f"  other texts  {len(traces.texts)}")
    if payloads.unopened:
        printing.complain(
            f"Twite cannot decrypt {plural(len(payloads.unopened), 'tag event')} with the "
            "configured key, and searched only the stored hashes."
        )
    if traces.audit_events:
        printing.complain(
            f"{plural(traces.audit_events, 'entry')} of the audit log contain these "
            "identifiers and are kept, because the log is a hash chain."
        )
