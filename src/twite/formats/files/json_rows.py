"""JSON files: conversions in the native format.

Keys are columns: a key with another known name, or that `--map` names, is renamed, and a key that
stands for no field is left out. A conversion that needs neither is sent unchanged.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import msgspec

from twite.domain.errors import MalformedRequest
from twite.formats.files.cells import Moment, read_moment
from twite.formats.files.findings import (
    ERRORS,
    UNKNOWN_IDS,
    FileRow,
    Repeats,
    RowFinding,
    RowIds,
    rounded,
)
from twite.formats.files.rows import ID_DERIVED, ID_MISSING, TIME_MISSING, RowOptions
from twite.formats.files.table import NAMES, ColumnMapping, UnreadableFile
from twite.formats.native.fields import OF_ONE, field_by_field
from twite.formats.parsed_request import Native
from twite.formats.strict_json import decode

_NATIVE: Final = msgspec.json.Decoder(Native)
_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_WRAPPED: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WORD: Final[msgspec.json.Decoder[str | int]] = msgspec.json.Decoder(str | int)
# A file with more keys has data as keys.
_MOST_KEYS: Final = 1_000
_NAME_DIFFERS: Final = (
    'the row has "{}", but other rows have "{}": give all rows one name, or choose with --map '
    "{}=NAME"
)
# Native fields that are not columns.
_UNMAPPED: Final = frozenset(Native.__struct_fields__) - NAMES.keys()


def elements(body: bytes) -> list[msgspec.Raw] | None:
    """Split a JSON file into its conversions: one, an array, or {"conversions": […]}.

    None if the file is JSON Lines under another file name. Raises UnreadableFile if it is not JSON.
    """
    text = body.lstrip(b"\xef\xbb\xbf \t\r\n")
    try:
        if text.startswith(b"["):
            return _RAWS.decode(text)
        whole = _WRAPPED.decode(text)
        inner = whole.get("conversions")
        if inner is not None and len(whole) > 1:
            raise UnreadableFile('the object has keys other than "conversions": remove them')
        return [msgspec.Raw(text)] if inner is None else _RAWS.decode(inner)
    except RecursionError:
        raise UnreadableFile("the JSON is nested too deeply for a conversion") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        lines = text.splitlines()
        if len(lines) > 1 and _is_object(lines[0]):
            return None
        raise UnreadableFile(f"not JSON: {error}") from None


def keys_of(conversions: Iterable[bytes]) -> tuple[str, ...]:
    """Return the keys of all conversions, in the order of their first use."""
    keys: dict[str, None] = {}
    for written in conversions:
        if len(keys) < _MOST_KEYS:
            keys.update(dict.fromkeys(_keys(written)))
    return tuple(key for key in keys if key not in _UNMAPPED)


def key_cells(conversions: Iterable[bytes], columns: ColumnMapping) -> Iterator[tuple[str, ...]]:
    """Yield the texts and whole numbers of each conversion as the cells of a row."""
    for written in conversions:
        try:
            values = _WRAPPED.decode(written)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        yield tuple(_cell(values.get(name)) for name in columns.header)


def _keys(written: bytes) -> Iterable[str]:
    try:
        return _WRAPPED.decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()  # a rejected row


def _cell(raw: msgspec.Raw | None) -> str:
    try:
        return "" if raw is None else str(_WORD.decode(raw))
    except msgspec.DecodeError:
        return ""


@dataclass
class Conversions:
    """Reads conversions in the native format, and returns them unchanged if their shape is right.

    Missing fields are added: the event and currency from the options, and an id from `ids`.
    """

    columns: ColumnMapping
    options: RowOptions
    ids: RowIds | None
    _repeats: Repeats = field(default_factory=Repeats)

    def read(self, number: int, written: bytes) -> FileRow:
        text = written.strip()
        if not text.startswith(b"{"):
            return _refused(number, "wrong_type", "", "not a JSON object")
        try:
            text = self._renamed(text)
        except MalformedRequest as error:
            return _refused(number, error.code, error.path, error.message)
        try:
            native = decode(_NATIVE, text)
        except MalformedRequest as error:
            if error.code in OF_ONE:
                wrong = tuple(
                    RowFinding(fault.path, fault.code, fault.message)
                    for fault in field_by_field(text)[1]
                )
                return FileRow(number=number, order="", body=None, errors=wrong)
            return _refused(number, error.code, error.path, error.message)
        added, id_note = self._added(native), None
        given = str(native.conversion_id).strip().lower()
        if native.conversion_id is None or given in UNKNOWN_IDS:
            if self.ids is None:
                return FileRow(number=number, order="", body=None, errors=(ID_MISSING,))
            name, id_note = self.ids.see(written.strip())
            added = {"conversion_id": name} | added
            if id_note is None and "conversion_id" in self.columns.taken:
                id_note = ID_DERIVED
        order = str(added.get("conversion_id") or native.conversion_id)
        spelled = {field: getattr(native, field) for field in Native.__struct_fields__} | added
        spelled["value"] = bytes(native.value)
        lacks_time = "time" in self.columns.taken and native.time in {None, ""}
        repeat = TIME_MISSING if lacks_time else self._repeats.see(number, spelled)
        found = (id_note, rounded(order), repeat)
        age = self.options.age
        old = None if age is None else age.see(spelled)
        findings = tuple(finding for finding in (*found, old) if finding is not None)
        errors = tuple(finding for finding in findings if finding.code in ERRORS)
        notes = tuple(finding for finding in findings if finding.code not in ERRORS)
        skipped = old is not None and age is not None and age.is_skipped and not errors
        complete = _with(added, text)
        return FileRow(
            number=number,
            order=order,
            body=None if errors or skipped else complete,
            partial=complete if errors else None,
            errors=errors,
            notes=notes,
            skipped=skipped,
            is_old=age is not None and age.is_looked_up(spelled),
        )

    @cached_property
    def _fields(self) -> Mapping[str, str]:
        """The field of each key that stands for one."""
        named = {name: field for field, name in self.columns.named()}
        return {name: name for name in _UNMAPPED} | named

    @cached_property
    def _is_plain(self) -> bool:
        """Whether every key of the file is the field of its name."""
        return all(self._fields.get(name) == name for name in self.columns.header)

    def _renamed(self, text: bytes) -> bytes:
        """Give the keys the names of their fields, and leave out the other keys."""
        if self._is_plain:
            return text
        values = decode(_WRAPPED, text)
        fields = self._fields
        if all(fields.get(name) == name for name in values):
            return text
        kept = {fields[name]: raw for name, raw in values.items() if name in fields}
        for name, meant in self.columns.spare.items():
            if name in values and meant not in kept:
                used = self.columns.header[self.columns.taken[meant]]
                message = _NAME_DIFFERS.format(name, used, meant)
                raise MalformedRequest(code="name_differs", path=meant, message=message)
        if "time" in kept and "time" not in values:
            kept["time"] = self._time(kept["time"])
        return msgspec.json.encode(kept)

    def _time(self, raw: msgspec.Raw) -> msgspec.Raw:
        """Read a time of another system as in a CSV file; a text that is no time stays."""
        cell = _cell(raw)
        at = read_moment(cell, zone=self.options.zone) if cell else None
        return msgspec.Raw(msgspec.json.encode(at.text)) if isinstance(at, Moment) else raw

    def _added(self, native: Native) -> dict[str, str]:
        added = {}
        if not native.event and self.options.event is not None:
            added["event"] = self.options.event
        priced = bytes(native.value) != b"null"
        if priced and native.currency is None and self.options.currency is not None:
            added["currency"] = self.options.currency
        return added


def _is_object(line: bytes) -> bool:
    try:
        _WRAPPED.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _refused(number: int, code: str, path: str, message: str) -> FileRow:
    return FileRow(number=number, order="", body=None, errors=(RowFinding(path, code, message),))


def _with(added: dict[str, str], text: bytes) -> bytes:
    """Add fields at the front, and leave the rest as written, so that numbers keep their digits.

    An existing empty field is removed, because an object must not contain a key twice.
    """
    if not added:
        return text
    given = {field: raw for field, raw in _WRAPPED.decode(text).items() if field not in added}
    return msgspec.json.encode(added | given)
