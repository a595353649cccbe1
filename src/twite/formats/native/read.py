"""Native format (`POST /v1/conversions`): JSON to conversions, faults, and the stored form."""

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.consent import Judge
from twite.domain.destination import Destination, Source
from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault, fault
from twite.domain.submission import Idempotency
from twite.formats.native.conversion import (
    ReadContext,
    ReadConversion,
    field_of,
    read_conversion,
    tell_repeats_apart,
)
from twite.formats.native.fields import OF_ONE, field_by_field
from twite.formats.native.values import MAX_TEXT
from twite.formats.parsed_request import Frame, Many, Native, ParsedRequest
from twite.formats.strict_json import (
    decode,
    decode_shape,
    may_hold_control_characters,
    refuse_duplicate_keys,
    refuse_more,
    without_halves,
)
from twite.redaction.scrub_text import scrubbed_json

MAX_CONVERSIONS: Final = 1_000

_ONE: Final = msgspec.json.Decoder(Native)
_MANY: Final = msgspec.json.Decoder(Many)
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)
_FRAME: Final = msgspec.json.Decoder(Frame)
_KEYS_ONLY: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER: Final = msgspec.json.Encoder()
_BATCH: Final = re.compile(rb'\s*\{\s*"conversions"\s*:')
_BACKSLASH: Final = ord("\\")  # searching for a number is faster than for bytes
_NO_FAULTS: Final[tuple[Fault, ...]] = ()
_HALF: Final = fault(
    "",
    "wrong_type",
    "an escape such as \\ud800 is half of a surrogate pair: do not split strings "
    "inside a character",
)
# Missing value → the fields that could contain it. A field that cannot be read is not missing.
_MISSING: Final[Mapping[str, frozenset[str]]] = {
    "event_missing": frozenset({"event"}),
    "currency_missing": frozenset({"currency"}),
    "identifier_missing": frozenset(
        {"email", "email_sha256", "phone", "phone_sha256", "twclid", "ip", "user_agent"}
    ),
}


class ParsedNative(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded request: one result for each conversion, in order.

    `body` is the request as JSON with email, phone and page URL scrubbed; `given` contains the
    conversions as submitted.
    """

    results: tuple[ReadConversion, ...]
    body: bytes
    given: tuple[Native, ...] = ()

    def __repr__(self) -> str:
        return f"ParsedNative(results={self.results!r}, body=<{len(self.body)} bytes>)"


def read(
    body: bytes,
    *,
    source: Source,
    destinations: Mapping[str, Destination],
    now: int,
    salt: bytes,
    idempotency_key: str | None,
    judge: Judge,
) -> ParsedNative:
    """Read a request. Raises MalformedRequest if it is not JSON, or has no conversions.

    A conversion with the wrong shape does not affect the others: its faults are in its result.
    `now` is in milliseconds; `salt` is used for derived ids; `judge` decides by a conversion's
    signals and identifiers.
    """
    single = not _is_batch(body)
    context = ReadContext(
        source=source,
        destinations=destinations,
        now=now,
        salt=salt,
        idempotency_key=idempotency_key,
        judge=judge,
        careful=may_hold_control_characters(body),
        lengthy=_may_hold_long_texts(body),
    )
    return _read_at_once(body, context, single=single) or _read_apart(body, context, single=single)


def _may_hold_long_texts(body: bytes) -> bool:
    """Return whether a text may be longer than MAX_TEXT. Encoding makes a URL three times as long.

    So a long text without escapes has a third of these bytes, without a quote.
    """
    if len(body) <= MAX_TEXT:
        return False
    if _BACKSLASH in body:
        return True
    start, longest = 0, MAX_TEXT // 3
    while start + longest < len(body):
        start = body.rfind(b'"', start, start + longest) + 1
        if start == 0:
            return True
    return False


def _read_at_once(body: bytes, context: ReadContext, *, single: bool) -> ParsedNative | None:
    """Read a request of the right shape; None for any other."""
    try:
        value = decode_shape(_ONE, body) if single else decode_shape(_MANY, body)
    except MalformedRequest:
        return None
    given = value.conversions if isinstance(value, Many) else [value]
    if not 0 < len(given) <= MAX_CONVERSIONS:
        return None
    is_complete = _BACKSLASH not in body
    results = []
    for index, item in enumerate(given):
        result = read_conversion(item, index, context)
        if is_complete and _may_add_texts(item, result):
            is_complete = False
        results.append(result)
    kept = _kept(results, single=single)
    # Every string in the stored form of a usual conversion comes from a string of the request,
    # except a click id from the URL. So if both have the same number of strings, the decoder
    # dropped no duplicate key.
    if not is_complete or kept.count(b'"') != body.count(b'"'):
        try:
            refuse_duplicate_keys(body, value)
        except MalformedRequest:
            return None
    return _parsed(results, given, kept, context, single=single)


def _read_apart(body: bytes, context: ReadContext, *, single: bool) -> ParsedNative:
    """Read a request in which some conversions may have the wrong shape."""
    given, wrong = _decoded(body, single=single)
    results = (
        [read_conversion(item, index, context) for index, item in enumerate(given)]
        if wrong is None
        else [
            _misshapen(item, index, context, faults)
            for index, (item, faults) in enumerate(zip(given, wrong, strict=True))
        ]
    )
    return _parsed(results, given, _kept(results, single=single), context, single=single)


def _kept(results: Sequence[ReadConversion], *, single: bool) -> bytes:
    scrubbed = [result.native for result in results]
    return _ENCODER.encode(scrubbed[0] if single else {"conversions": scrubbed})


def _parsed(
    results: list[ReadConversion],
    given: Sequence[Native],
    kept: bytes,
    context: ReadContext,
    *,
    single: bool,
) -> ParsedNative:
    if context.idempotency_key is None and len(results) > 1:
        tell_repeats_apart(results, given, salt=context.salt)
    return ParsedNative(
        results=tuple(results),
        body=_without_persons(kept, results, single=single),
        given=tuple(given),
    )


def read_typical(body: bytes, context: ReadContext) -> ParsedNative | None:
    """Read a request with one usual conversion as `read` does; None for any other request.

    `context` must be neither careful nor lengthy.
    """
    if len(body) > MAX_TEXT or may_hold_control_characters(body):
        return None
    try:
        given = _ONE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    # An id that is missing depends on the idempotency key.
    if given.consent is not None or not str(given.conversion_id or "").strip():
        return None
    result = read_conversion(given, 0, context)
    kept = _ENCODER.encode(result.native)
    if (
        result.faults
        or result.suppressed is not None
        or result.held is not None
        or _may_add_texts(given, result)
        or kept.count(b'"') != body.count(b'"')
    ):
        return None
    return ParsedNative(results=(result,), body=scrubbed_json(kept), given=(given,))


def _may_add_texts(given: Native, result: ReadConversion) -> bool:
    """Return whether the stored form may have a text that the request does not have."""
    scrubbed = result.native
    return (
        result.is_faulty
        or (given.twclid is None and scrubbed.twclid is not None)
        or scrubbed.contents is not given.contents
    )


def read_parsed(
    parsed: ParsedRequest,
    *,
    source: Source,
    destinations: Mapping[str, Destination],
    now: int,
    salt: bytes,
    judge: Judge,
) -> ParsedNative:
    """Validate the conversions of another format by the rules of the native format.

    The arguments are those of `read`.
    """
    context = ReadContext(
        source=source,
        destinations=destinations,
        now=now,
        salt=salt,
        idempotency_key=None,
        judge=judge,
        careful=True,
        lengthy=True,
    )
    again = parsed.repeated or (None,) * len(parsed.conversions)
    wrong = parsed.faults or ((),) * len(parsed.conversions)
    each = zip(parsed.conversions, again, wrong, strict=True)
    results = []
    for index, (item, repeated, faults) in enumerate(each):
        own = msgspec.structs.replace(context, repeated=repeated)
        results.append(_misshapen(item, index, own, faults))
    tell_repeats_apart(results, parsed.conversions, salt=salt, repeated=again)
    kept = _ENCODER.encode({"conversions": [result.native for result in results]})
    body = _without_persons(kept, results, single=False)
    if parsed.hit is not None:
        body = b'%b,"hit":%b}' % (body[:-1], scrubbed_json(bytes(parsed.hit), thoroughly=True))
    return ParsedNative(results=tuple(results), body=body, given=parsed.conversions)


def named(body: bytes, *, source: str, key: str | None, salt: bytes) -> Idempotency | None:
    """Return digests of a request's idempotency key and of its content; None without a key.

    Key order in objects and white space do not matter.
    """
    if key is None:
        return None
    try:
        canonical = msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    except msgspec.DecodeError:  # for example, a number of hundreds of digits
        canonical = body
    return Idempotency(
        key=blake2b(f"{source}\0{key}".encode(), key=salt, digest_size=16).digest(),
        said=blake2b(canonical, key=salt, digest_size=16).digest(),
    )


def _decoded(
    body: bytes, *, single: bool
) -> tuple[Sequence[Native], Sequence[tuple[Fault, ...]] | None]:
    """Decode all conversions at once; if that fails, each separately, with its faults."""
    try:
        given = [decode(_ONE, body)] if single else decode(_MANY, body).conversions
    except MalformedRequest as wrong:
        whole = without_halves(body)
        if wrong.code not in OF_ONE and whole == body:
            raise
        if single and not body.lstrip().startswith(b"{"):
            raise
    else:
        _require_count(len(given))
        return given, None
    parts = (
        [body if whole == body else bytes(decode(_RAW, whole, frame=True))]
        if single
        else [bytes(conversion) for conversion in decode(_FRAME, whole, frame=True).conversions]
    )
    _require_count(len(parts))
    each = [_by_itself(part) for part in parts]
    if whole != body:
        each = _with_halves(each, parts, whole, body)
    return [conversion for conversion, _ in each], [faults for _, faults in each]


def _by_itself(part: bytes) -> tuple[Native, tuple[Fault, ...]]:
    try:
        return decode(_ONE, part), _NO_FAULTS
    except MalformedRequest:
        return field_by_field(part)


def _with_halves(
    each: Sequence[tuple[Native, tuple[Fault, ...]]],
    parts: Sequence[bytes],
    whole: bytes,
    body: bytes,
) -> list[tuple[Native, tuple[Fault, ...]]]:
    """Add a fault to each conversion that contains half of a surrogate pair in `body`."""
    found = []
    at = whole.index(parts[0])
    for (conversion, faults), part in zip(each, parts, strict=True):
        # `whole` and `body` have the same length, so a part is at the same position in both.
        start = whole.index(part, at)
        at = start + len(part)
        is_whole = body[start:at] == part
        found.append((conversion, faults if is_whole else (*faults, _HALF)))
    return found


def _misshapen(
    native: Native, index: int, context: ReadContext, faults: tuple[Fault, ...]
) -> ReadConversion:
    """Read a conversion of the wrong shape; report no faults that merely follow from others."""
    if not faults:
        return read_conversion(native, index, context)
    result = read_conversion(native, index, msgspec.structs.replace(context, faults=faults))
    unread = {field_of(fault) for fault in faults}
    echoes = {code for code, fields in _MISSING.items() if "" in unread or unread & fields}
    kept = tuple(fault for fault in result.faults if fault.code not in echoes)
    return msgspec.structs.replace(result, faults=kept)


def _require_count(count: int) -> None:
    if not count:
        raise MalformedRequest(
            code="empty", path="conversions", message="the request contains no conversion"
        )
    refuse_more(count, MAX_CONVERSIONS, "conversions", path="conversions")


def _without_persons(kept: bytes, results: Sequence[ReadConversion], *, single: bool) -> bytes:
    """Return the stored form. In a faulty conversion, any value may contain personal data."""
    faulty = [result.is_faulty for result in results]
    if True not in faulty:
        return scrubbed_json(kept)
    if single or False not in faulty:
        return scrubbed_json(kept, thoroughly=True)
    parts = [
        scrubbed_json(_ENCODER.encode(result.native), thoroughly=result.is_faulty)
        for result in results
    ]
    return b'{"conversions":[%b]}' % b",".join(parts)


def _is_batch(body: bytes) -> bool:
    if b'"conversions"' not in body:
        return False
    if _BATCH.match(body):
        return True
    try:
        return "conversions" in _KEYS_ONLY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
