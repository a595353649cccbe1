"""`twite audit`: show the audit log, and verify its hash chain."""

from typing import Annotated, Final

import msgspec
import typer

from twite.app.store_access import read_records
from twite.cli import printing
from twite.cli.options import DEFAULT_CONFIG, Config, Json, load, option, prints
from twite.domain.people.users import NO_HASH, AuditEntry, first_wrong
from twite.domain.plural import plural
from twite.domain.times import spelled
from twite.gateway.ports.directory import DirectoryReader
from twite.redaction.mask_tree import masked_words

_AT_ONCE: Final = 1_000
_LONGEST: Final = 120


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a verification. `wrong` is the number of the first changed entry."""

    entries: int
    head: bytes
    wrong: int | None
    knows_head: bool

    @property
    def is_whole(self) -> bool:
        """Whether the chain is intact."""
        return self.wrong is None and self.knows_head


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log. `detail` is masked, `hash` that of the chain up to here."""

    number: int
    at: str
    who: str
    what: str
    subject: str
    detail: str
    hash: str


class ChainReport(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a verification.

    `wrong` is the number of the first changed entry, `head` the hash of the last intact one;
    `head_known` says whether the chain contains the hash of `--head`.
    """

    whole: bool
    entries: int
    head: str
    wrong: int | None
    head_known: bool


async def verified(directory: DirectoryReader, *, head: str | None = None) -> AuditVerdict:
    """Verify the whole chain; `head` is a hash (hexadecimal) that must be in it."""
    before, seen = NO_HASH, 0
    sought = None if head is None else head.strip().lower()
    knows = sought is None or sought == before.hex()
    while entries := await directory.audit(after=seen, limit=_AT_ONCE):
        wrong = first_wrong(entries, before=before, number=seen + 1)
        if wrong is not None:
            return AuditVerdict(entries=wrong - 1, head=before, wrong=wrong, knows_head=knows)
        knows = knows or any(entry.hash.hex() == sought for entry in entries)
        before, seen = entries[-1].hash, entries[-1].number
    return AuditVerdict(entries=seen, head=before, wrong=None, knows_head=knows)


Limit = Annotated[
    int, typer.Option("--limit", min=1, max=100_000, help="Show at most this many entries")
]
Head = Annotated[str | None, option("--head", "HASH", "A hash that the chain must contain")]


audit = typer.Typer(help="Example: `twite audit verify`", no_args_is_help=True)


@audit.command("list")
@prints(list[AuditLine])
def listed(*, config: Config = DEFAULT_CONFIG, limit: Limit = 50, as_json: Json = False) -> None:
    """List entries, latest first.

    Example: `twite audit list`
    """
    entries = read_records(load(config), lambda records: records.people.audit(limit=limit))
    if as_json:
        printing.print_json([_line_of(entry) for entry in entries])
    elif not entries:
        printing.say("The audit log is empty.")
    else:
        printing.print_table(
            ["no.", "at", "who", "what", "subject", "detail"],
            [
                [
                    entry.number,
                    spelled(entry.audit_event.at),
                    entry.audit_event.who,
                    entry.audit_event.what,
                    entry.audit_event.subject,
                    printing.safe(masked_words(entry.audit_event.detail), longest=_LONGEST),
                ]
                for entry in entries
            ],
        )


@audit.command("verify")
@prints(ChainReport)
def verify(*, config: Config = DEFAULT_CONFIG, head: Head = None, as_json: Json = False) -> None:
    """Check every entry and print the hash of the last one.

    Exits with 1 if an entry was changed, removed or inserted. Anyone who can write to the file
    could rebuild the whole chain. To detect that, keep the hash elsewhere and pass it with --head
    next time.

    Example: `twite audit verify --head 4f1c…`
    """
    verdict = read_records(load(config), lambda records: verified(records.people, head=head))
    if as_json:
        printing.print_json(
            ChainReport(
                whole=verdict.is_whole,
                entries=verdict.entries,
                head=verdict.head.hex(),
                wrong=verdict.wrong,
                head_known=verdict.knows_head,
            )
        )
    elif verdict.wrong is not None:
        printing.complain(
            f"Entry {verdict.wrong} does not match its hash: the entry was changed, or an "
            "earlier entry was removed or inserted. Compare the log with a backup (twite "
            "backup)."
        )
    elif not verdict.knows_head:
        printing.complain(f"The chain does not contain {head}: entries were removed or replaced.")
    else:
        printing.say(f"{plural(verdict.entries, 'entry')}, all intact.")
        printing.say(f"head  {verdict.head.hex()}")
    if not verdict.is_whole:
        raise typer.Exit(1)


def _line_of(entry: AuditEntry) -> AuditLine:
    audit_event = entry.audit_event
    return AuditLine(
        number=entry.number,
        at=spelled(audit_event.at),
        who=audit_event.who,
        what=audit_event.what,
        subject=audit_event.subject,
        detail=masked_words(audit_event.detail),
        hash=entry.hash.hex(),
    )
