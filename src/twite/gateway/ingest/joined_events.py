"""What the events of a request say about visitors, and which conversions wait for more.

| key | of |
|---|---|
| visitor | `visitor_id`: Segment's `anonymousId`, the client id of GA4 and of Stape's Data Tag |
| user | `user_id` |
| order | X's event, and the conversion id that the sender stated |

The keys of one event are linked, so a click of an unknown visitor serves an order of a known user.
Only events whose consent verdict is to send say anything. A denial is stored, too. The id of an
order belongs to its event, like the dedup key: a sign-up "7" and a purchase "7" are two orders.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from twite.domain.conversion import Identifiers
from twite.domain.destination import Source
from twite.domain.fault import Fault
from twite.domain.joins import (
    MAX_ID,
    JoinKind,
    JoinRequest,
    KeyKind,
    KnownIdentifier,
    join_key,
    mark_of,
    person_join_keys,
)
from twite.domain.normalize import PLACEHOLDERS
from twite.domain.submission import AcceptedConversion, Endpoint
from twite.domain.times import moment
from twite.formats.event_data.conversions import ignored_as, in_our_words
from twite.formats.native.conversion import ReadConversion
from twite.formats.native.read import ParsedNative
from twite.formats.page_visit import read_click
from twite.formats.parsed_request import Native, ParsedRequest, TagEvent
from twite.formats.segment.event import without_properties_person
from twite.redaction.shapes import MASK

# Digits of a time in milliseconds.
_MILLISECONDS: Final = 13
# Texts in place of an id, which would join strangers; without separators, and in lower case.
_SEPARATORS: Final = re.compile(r"[\W_]+")
_NOBODY: Final = frozenset(_SEPARATORS.sub("", text) for text in PLACEHOLDERS) | {
    "anon", "anonymous", "backend", "customer", "default", "empty", "guest", "guestcheckout",
    "guestuser", "nobody", "noid", "notloggedin", "nouser", "server", "system", "test", "true",
    "unknownuser", "unregistered", "user", "visitor", "walkin",
}  # fmt: skip
# Parts of an id that a program made of nothing, such as `undefined.undefined`.
_NOTHING: Final = frozenset({"nan", "null", "undefined"})
# A variable that a template did not replace.
_VARIABLE: Final = re.compile(
    r".*(?:\{\{|\$\{|%7b%7b).*|<.*>|\{.*\}|\(.*\)|\[.*\]|%.*%|#.*#", re.DOTALL
)
_REPEATED: Final = re.compile(r"0+|(\w)\1{15,}")


class _Verdict(msgspec.Struct, frozen=True):
    action: str
    rule: str


_VERDICT: Final = msgspec.json.Decoder(_Verdict)
_AGREED: Final = _Verdict(action="send", rule="")


def join_events(
    entries: Sequence[AcceptedConversion],
    native: ParsedNative,
    other_native: ParsedNative | None,
    source: Source,
    salt: bytes,
    *,
    now: int,
) -> tuple[tuple[AcceptedConversion, ...], tuple[KnownIdentifier, ...]]:
    """Return the entries, of which some wait, and what the events say about visitors.

    `other_native` are events that are no conversions; `now` is the time of receipt.
    """
    if not source.joined_pixels:
        return tuple(entries), ()
    known: list[KnownIdentifier] = []
    requests: dict[int, JoinRequest] = {}
    for parsed in (native, other_native):
        if parsed is None:
            continue
        for given, result in zip(parsed.given, parsed.results, strict=True):
            if result.pixel not in source.joined_pixels:
                continue
            keys = _keys(given, result, salt=salt, is_conversion=parsed is native)
            known += _known(given, result, keys, salt=salt, now=now)
            if parsed is native and _waits(result):
                requests[result.index] = JoinRequest(
                    # Without keys, nothing is joined.
                    keys=tuple(keys.values()) if _agrees(result) else (),
                    whose=keys.get(KeyKind.USER, ""),
                    wait=source.wait,
                )
    return (
        tuple(
            msgspec.structs.replace(entry, join=requests[entry.index])
            if source.wait and entry.index in requests and entry.suppressed is None
            else entry
            for entry in entries
        ),
        tuple(known),
    )


def read_others(
    parsed: ParsedRequest, read: Callable[[ParsedRequest], ParsedNative], endpoint: Endpoint
) -> ParsedNative | None:
    """Read the events of a request that are no conversions, such as page views; None if none."""
    other_native = tuple(
        in_our_words(_of_person(tag_event) if endpoint is Endpoint.SEGMENT else tag_event)
        for tag_event in parsed.tag_events
        if tag_event.conversion is None and tag_event.repeated is None
    )
    return read(ParsedRequest(conversions=other_native)) if other_native else None


def _of_person(tag_event: TagEvent) -> TagEvent:
    return msgspec.structs.replace(tag_event, event=without_properties_person(tag_event.event))


def _keys(
    native: Native, read_conversion: ReadConversion, *, salt: bytes, is_conversion: bool
) -> dict[KeyKind, str]:
    """Return the keys of an event by their kind."""
    # An event that is no conversion often has an id of its own instead of an order's.
    event = read_conversion.event if is_conversion else ""
    order = read_conversion.native.conversion_id
    names = {
        KeyKind.VISITOR: _name(native.visitor_id),
        KeyKind.USER: _name(native.user_id),
        KeyKind.ORDER: _name(order) if event and order != MASK else None,
    }
    if names[KeyKind.ORDER] is not None:
        names[KeyKind.ORDER] = f"{event}\0{names[KeyKind.ORDER]}"
    return {
        kind: join_key(salt, read_conversion.pixel, kind, name)
        for kind, name in names.items()
        if name is not None
    }


def _name(given: str | int | None) -> str | None:
    text = "" if given is None else str(given).strip()
    if len(text) > MAX_ID:
        return None
    lower = text.lower()
    parts = _SEPARATORS.split(lower)
    plain = "".join(parts)
    is_nobody = (
        lower == "-1"
        or plain in _NOBODY
        or not _NOTHING.isdisjoint(parts)
        or _VARIABLE.fullmatch(lower)
        or _REPEATED.fullmatch(plain)
    )
    return None if is_nobody else text


def _known(
    native: Native,
    read_conversion: ReadConversion,
    keys: dict[KeyKind, str],
    *,
    salt: bytes,
    now: int,
) -> Iterator[KnownIdentifier]:
    verdict = _verdict_of(read_conversion)
    origin = ignored_as(native.event or "", "").name
    kept = read_conversion.native
    at = min(_time_of(read_conversion, now=now), now)

    def row(key: str, kind: JoinKind, value: str, whose: str, at: int = at) -> KnownIdentifier:
        mark = mark_of(salt, kind, value, whose)
        return KnownIdentifier(
            key=key, mark=mark, kind=kind, value=value, whose=whose,
            at=at, seen_at=now, origin=origin,
        )  # fmt: skip

    if verdict.action != "send":
        if verdict.rule != "missing":
            yield from (row(key, JoinKind.DENIED, "", "") for key in keys.values())
        return
    whose = keys.get(KeyKind.USER, "")
    click = read_click(kept.twclid or "")
    clicked_at = min(_clicked_at(native) or at, now)
    digests = Identifiers(email=kept.email_sha256, phone=kept.phone_sha256)
    persons = person_join_keys(digests, pixel=read_conversion.pixel, salt=salt)
    for key in keys.values():
        if click is not None:
            yield row(key, JoinKind.CLICK, click.id, whose, clicked_at)
        if digests.email is not None:
            yield row(key, JoinKind.EMAIL, digests.email, whose)
        if digests.phone is not None:
            yield row(key, JoinKind.PHONE, digests.phone, whose)
        yield from (row(key, JoinKind.PERSON, person, whose) for person in persons)
        yield from (
            row(key, JoinKind.LINK, other, whose) for other in keys.values() if other != key
        )


def _time_of(read_conversion: ReadConversion, *, now: int) -> int:
    """Return when an event happened; now if it does not say so."""
    if read_conversion.conversion is not None:
        return read_conversion.conversion.time
    stated = read_conversion.native.time
    found = moment(stated, now=now, path="") if stated else now
    return now if isinstance(found, Fault) else found


def _clicked_at(native: Native) -> int:
    """Return when the click was first seen, if the value of a cookie says so; else 0."""
    form, _, rest = (native.twclid or "").partition(".")
    at = rest.partition(".")[0]
    return int(at) if form and at.isascii() and at.isdigit() and len(at) == _MILLISECONDS else 0


def _verdict_of(read_conversion: ReadConversion) -> _Verdict:
    evidence = read_conversion.evidence
    return _AGREED if evidence is None else _VERDICT.decode(evidence)


def _agrees(read_conversion: ReadConversion) -> bool:
    """Return whether the consent verdict is to send a conversion unchanged."""
    return _verdict_of(read_conversion).action == "send"


def _waits(read_conversion: ReadConversion) -> bool:
    """Return whether a conversion may gain something."""
    if read_conversion.conversion is None:
        return False
    own = read_conversion.conversion.identifiers
    return not own.suffice or (
        _agrees(read_conversion)
        and (own.click_id is None or own.email is None or own.phone is None)
    )
