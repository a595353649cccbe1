"""Templates, their filters and static files."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket

from twite.console import charts as figures
from twite.console.table_view import CellWriter, Column
from twite.console.time_range import RANGES, minute_of
from twite.domain import times
from twite.domain.people.users import Role
from twite.domain.test_mode import is_test
from twite.domain.times import DAY, HOUR, MINUTE, SECOND, spelled
from twite.redaction.mask_tree import masked_words

FOLDER: Final = Path(__file__).parent  # of the console's own templates and static files
STATIC: Final = "/console/static/"
_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_NOTHING: Final = "\N{EN DASH}"
_HASH_LENGTH: Final = 16
_WHOLE: Final = re.compile(r"^[0-9]+")
# A time in a text, as `spelled` of domain/times.py writes it.
_UTC_TIME: Final = re.compile(r"(\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z\b)", re.ASCII)
LONGEST: Final = 200


class StaticFile(msgspec.Struct, frozen=True, kw_only=True):
    """A static file whose name contains a hash of its content, so browsers may cache it forever."""

    name: str
    body: bytes
    kind: str


def static_files(folders: Sequence[Path]) -> dict[str, StaticFile]:
    """Return the files in `static` below the folders, by the names that templates use."""
    found = {}
    present = [folder / "static" for folder in folders if (folder / "static").is_dir()]
    for entry in (file for folder in present for file in folder.iterdir()):
        stem, _, ending = entry.name.rpartition(".")
        if ending in _TYPES:
            body = entry.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:_HASH_LENGTH]
            found[entry.name] = StaticFile(
                name=f"{stem}.{digest}.{ending}", body=body, kind=_TYPES[ending]
            )
    return found


class _CompiledTemplates(BytecodeCache):
    """The compiled templates of this process. To compile those of one page takes 0.1 s or more.

    Jinja compares the checksum of the source with that of the compiled template.
    """

    def __init__(self) -> None:
        self._compiled: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if (compiled := self._compiled.get(bucket.key)) is not None:
            bucket.bytecode_from_string(compiled)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._compiled[bucket.key] = bucket.bytecode_to_string()


# Several consoles of a process use it: those before and after a reload, and those of tests.
_COMPILED: Final = _CompiledTemplates()


class PageTemplates:
    """Renders the templates in `templates` below the folders.

    Text is escaped unless marked as markup; undefined variables are errors.
    """

    def __init__(
        self, folders: Sequence[Path], static: Mapping[str, StaticFile], *, emulated: bool = False
    ) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([folder / "templates" for folder in folders]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=_COMPILED,
        )
        self._environment.filters |= {
            "moment": moment,
            "in_ms": in_ms,
            "pieces": pieces,
            "shown": shown,
            "lines": lines,
            "masked": masked,
            "masked_lines": masked_lines,
            "number": number,
            "amount": amount,
            "ago": ago,
            "lasting": lasting,
            "percent": percent,
            "minute": minute_of,
        }
        self._environment.globals |= {
            "static": {name: STATIC + file.name for name, file in static.items()},
            "Role": Role,
            "is_test": is_test,
            "emulated": emulated,
            "figures": figures,
            "column": Column,
            "cells_of": CellWriter,
            "ranges": RANGES,
            # A page's template sets these: whether it keeps itself current, and whether it waits.
            "live": False,
            "waiting": False,
        }

    def draw(self, template: str, values: Mapping[str, object]) -> str:
        return self._environment.get_template(template).render(values)


def in_ms(text: str) -> int | None:
    """Return a time in ISO 8601 with a zone in milliseconds; None for another text."""
    read = times.moment(text, now=times.LATEST, path="")
    return read if isinstance(read, int) else None


def pieces(text: str) -> list[tuple[str, int | None]]:
    """Split a text at its times in ISO 8601 and UTC: (text, None) and ("", ms), in order."""
    found: list[tuple[str, int | None]] = []
    for piece in _UTC_TIME.split(text):
        at = in_ms(piece) if _UTC_TIME.fullmatch(piece) else None
        found.append((piece, None) if at is None else ("", at))
    return found


def moment(ms: int | None, zone: ZoneInfo | None = None) -> str:
    """Format a time to the second, in a zone or UTC; None becomes a dash."""
    if ms is None:
        return _NOTHING
    utc = spelled(ms)[:19]
    if zone is None or zone.key == "UTC":
        return utc.replace("T", " ")
    try:
        return f"{datetime.fromisoformat(f'{utc}Z').astimezone(zone):%Y-%m-%d %H:%M:%S}"
    except OverflowError:  # next to the first or the last year
        return utc.replace("T", " ")


def lines(text: str, most: int = 400) -> str:
    """Format untrusted text of several lines, each as `shown` does."""
    held = text.split("\n")
    kept = [shown(line, 2_000) for line in held[:most]]
    return "\n".join(kept if len(held) <= most else [*kept, "…"])


def shown(text: object, longest: int = LONGEST) -> str:
    """Format untrusted text: escape invisible and text-reversing characters, and shorten it."""
    held = str(text)
    cut = held[:longest]
    visible = "".join(c if c.isprintable() else _spelled_out(c) for c in cut)
    return visible if len(held) <= longest else f"{visible}…"


def _spelled_out(c: str) -> str:
    if c in "\n\t":
        return " "
    if "\ud800" <= c <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return f"⟨U+{ord(c):04X}⟩"


def amount(text: str, longest: int = LONGEST) -> str:
    """Format an amount that may have a currency, such as 5400000 JPY, with groups of digits."""
    return _WHOLE.sub(lambda found: number(int(found[0])), shown(text, longest))


def masked(text: str, longest: int = LONGEST) -> str:
    """Format untrusted text, and mask what looks like personal data or a key."""
    return shown(masked_words(text), longest)


def masked_lines(text: str) -> str:
    """Format untrusted text of several lines, masked as `masked` does."""
    return lines(masked_words(text))


def number(value: float | None) -> str:
    """Format a number with thin spaces between thousands; None becomes a dash."""
    if value is None:
        return _NOTHING
    return spaced(f"{value:,}" if isinstance(value, int) else f"{value:,.2f}")


def spaced(text: str) -> str:
    """Write thin spaces in place of the commas between thousands."""
    return text.replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(part: float, whole: float) -> str:
    """Format a share as a percentage, such as `12.5 %`."""
    if not whole:
        return _NOTHING
    return f"{100 * part / whole:.1f}\N{NARROW NO-BREAK SPACE}%"


def ago(ms: int | None, now: int) -> str:
    """Format the time since a moment."""
    if ms is None:
        return "never"
    seconds = abs(now - ms) // SECOND
    return f"{lasting(seconds * SECOND)} ago" if seconds else "just now"


def lasting(ms: int) -> str:
    """Format a duration in its two largest units, such as `2 d 3 h`, or as `1.5 s`."""
    if ms < SECOND:
        return f"{ms} ms"
    if ms < 10 * SECOND:
        return f"{round(ms / SECOND, 1):g}\N{NO-BREAK SPACE}s"
    left, parts = ms, []
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")):
        count, left = divmod(left, unit)
        if count:
            parts.append(f"{count}\N{NO-BREAK SPACE}{name}")
        elif parts:
            break
    return " ".join(parts[:2])
