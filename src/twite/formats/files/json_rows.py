"""JSON files: conversions in the native format, sent unchanged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from twite.domain.errors import MalformedRequest
from twite.formats.files.findings import ERRORS, FileRow, Repeats, RowFinding, rounded
from twite.formats.files.rows import RowOptions
from twite.formats.files.table import UnreadableFile
from twite.formats.native.fields import OF_ONE, field_by_field
from twite.formats.parsed_request import Native
from twite.formats.strict_json import decode

_NATIVE: Final = msgspec.json.Decoder(Native)
_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_WRAPPED: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


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


@dataclass(slots=True)
class Conversions:
    """Reads conversions in the native format, and returns them unchanged if their shape is right.

    Missing fields are added: the event and currency from the options, and an id from `name_row`.
    """

    options: RowOptions
    name_row: Callable[[int], str]
    _repeats: Repeats = field(default_factory=Repeats)

    def read(self, number: int, written: bytes) -> FileRow:
        text = written.strip()
        if not text.startswith(b"{"):
            return _refused(number, "wrong_type", "", "not a JSON object")
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
        added = self._added(native, number)
        order = str(added.get("conversion_id") or native.conversion_id)
        spelled = {field: getattr(native, field) for field in Native.__struct_fields__} | added
        spelled["value"] = bytes(native.value)
        found = rounded(order) or self._repeats.see(number, spelled)
        findings = () if found is None else (found,)
        if found is not None and found.code in ERRORS:
            return FileRow(number=number, order=order, body=None, errors=findings)
        return FileRow(number=number, order=order, body=_with(added, text), notes=findings)

    def _added(self, native: Native, number: int) -> dict[str, str]:
        added = {}
        if native.conversion_id is None or not str(native.conversion_id).strip():
            added["conversion_id"] = self.name_row(number)
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
