"""Explain a conversion: map each field received to the field sent to X, identifiers masked."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.normalize import visible
from twite.domain.submission import Endpoint
from twite.gateway.operations.dry_run import opened
from twite.gateway.ports.queries import ConversionOrigin
from twite.redaction.mask_tree import masked_tree

# Longer texts are cut.
LONGEST: Final = 64 * 1024
_LONGEST_VALUE: Final = 200

# (native field, X's field, conversion applied).
_NATIVE: Final[tuple[tuple[str, str, str], ...]] = (
    ("event", "event_id", "looked up among the pixel's events"),
    ("conversion_id", "conversion_id", "unchanged"),
    ("time", "conversion_time", "in UTC, to the millisecond"),
    ("value", "value", "as a decimal with at least two places"),
    ("currency", "price_currency", "in capitals"),
    ("email_sha256", "hashed_email", "trimmed, in lower case, hashed before it was stored"),
    (
        "phone_sha256",
        "hashed_phone_number",
        "in E.164 with the plus sign, hashed before it was stored",
    ),
    ("twclid", "twclid", "unchanged, never hashed"),
    ("ip", "ip_address", "unchanged"),
    ("user_agent", "user_agent", "unchanged"),
    ("twpid", "twpid", "unchanged"),
    ("url", "event_source_url", "without parts that may contain personal data or secrets"),
    ("contents", "contents", "each item with X's field names"),
    ("description", "description", "without emails and phone numbers"),
    ("search", "search_string", "without emails and phone numbers"),
)
_ABSENT: Final[Mapping[str, str]] = {
    "conversion_id": "not in the request: derived from the fields that a retry repeats",
    "conversion_time": "not in the request: the time of receipt",
}
_LEFT_OUT: Final = "left out: unusable, or not allowed by consent"
_LEFT_OUT_BY_USER: Final = "left out by a user: see the timeline"
_EDITED: Final = "changed by a user: see the timeline"
_BY_RULE: Final = "changed by a value rule: see the timeline"
_GAINED: Final = "from another event of the visitor: see the timeline"
_ADDED: Final = "not in the request: added by the gateway"
# The identifiers that a conversion can gain, and X's fields.
_GAINED_FIELDS: Final[Mapping[str, str]] = {
    "twclid": "twclid",
    "email": "hashed_email",
    "phone": "hashed_phone_number",
}
_AMOUNT: Final = ("value", "price_currency")
_OURS: Final = frozenset(name for name, becomes, _ in _NATIVE if name != becomes)


class ExplainStep(msgspec.Struct, frozen=True, kw_only=True):
    """One field as received (`came`) and as sent; "" if absent."""

    field: str
    came: str
    becomes: str
    sent: str
    note: str


def steps(origin: ConversionOrigin) -> tuple[ExplainStep, ...]:
    """Return the steps of all fields; empty if the bodies are no longer stored."""
    came, sent = flat(own_part(origin)), flat(origin.history.sent)
    if not came or not sent:
        return ()
    # A request in X's format has X's field names.
    table = _NATIVE if came.keys() & _OURS else tuple((name, name, "unchanged") for name in sent)
    later = _later_notes(origin, sent)
    found = [
        ExplainStep(
            field=name,
            came=_shown(name, came.get(name)),
            becomes=becomes,
            sent=_shown(becomes, sent.get(becomes)),
            note=later.get(becomes)
            or _note(becomes, note, given=name in came, sent=becomes in sent),
        )
        for name, becomes, note in table
        if name in came or becomes in sent
    ]
    return tuple(found)


def masked(body: bytes) -> str:
    """Return indented JSON with identifiers masked, cut at LONGEST; "" for an empty body."""
    if not body:
        return ""
    try:
        shown = msgspec.json.encode(masked_tree(msgspec.json.decode(body)))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return "the body can no longer be read as JSON"
    text = visible(msgspec.json.format(shown, indent=2).decode())
    return (
        text
        if len(text) <= LONGEST
        else f"{text[:LONGEST]} … truncated: {len(text)} characters in total"
    )


def compact(body: bytes) -> bytes:
    """Return compact JSON with identifiers masked; null for a body that is not JSON."""
    try:
        return msgspec.json.encode(masked_tree(msgspec.json.decode(body)))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return b"null"


def flat(body: bytes) -> dict[str, object]:
    """Return the fields of a body sent to X, with identifiers lifted to the top level."""
    if not body:
        return {}
    try:
        sent = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    if "event_name" in sent:
        sent["event_id"] = sent.pop("event_name")
    found = {}
    for name, value in sent.items():
        if name == "identifiers" and isinstance(value, list):
            for element in value:
                found.update(element if isinstance(element, dict) else {})
        else:
            found[name] = value
    return found


def own_entry(origin: ConversionOrigin) -> dict[str, object]:
    """Return the entry of a submission that became this conversion; empty if unknown.

    The other entries are of other people, and may belong to pixels that the viewer must not see. A
    tag's delivery has a place after all entries, so it is found by the conversion id.
    """
    body = opened(origin.body)
    several = body.get("conversions") if isinstance(body, dict) else None
    if not isinstance(several, list):
        is_single = isinstance(body, dict) and origin.endpoint == Endpoint.NATIVE
        return body if is_single and isinstance(body, dict) else {}
    if origin.place < len(several):
        entry = several[origin.place]
        return entry if isinstance(entry, dict) else {}
    ids = {origin.history.conversion_id, origin.history.called}
    named = (entry for entry in several if isinstance(entry, dict))
    return next((entry for entry in named if entry.get("conversion_id") in ids), {})


class FieldChange(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a body for X that an edit changes; "" if absent. Identifiers are masked."""

    field: str
    before: str
    after: str


def changes(before: bytes, after: bytes) -> tuple[FieldChange, ...]:
    """Return the fields that differ between two bodies for X."""
    old, new = flat(before), flat(after)
    differ = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return tuple(
        FieldChange(
            field=name, before=_shown(name, old.get(name)), after=_shown(name, new.get(name))
        )
        for name in differ
    )


def own_part(origin: ConversionOrigin) -> bytes:
    """Return this conversion's entry of its submission, as JSON; empty if unknown."""
    entry = own_entry(origin)
    return msgspec.json.encode(entry) if entry else b""


def _later_notes(origin: ConversionOrigin, sent: Mapping[str, object]) -> dict[str, str]:
    """Return what a value rule, other events or a user did to fields, by X's name."""
    notes: dict[str, str] = {}
    change = origin.history.value_change
    if change is not None and change.problem is None:
        pairs = (change.before, change.after), (change.currency_before, change.currency)
        notes |= {
            name: _BY_RULE for name, (old, new) in zip(_AMOUNT, pairs, strict=True) if old != new
        }
    if before := flat(origin.unedited):
        differ = {name for name in {*before, *sent} if before.get(name) != sent.get(name)}
        notes |= {name: _EDITED if name in sent else _LEFT_OUT_BY_USER for name in differ}
    gained = (_GAINED_FIELDS.get(each.identifier, "") for each in origin.history.gained)
    return notes | {name: _GAINED for name in gained if name in sent}


def _note(becomes: str, note: str, *, given: bool, sent: bool) -> str:
    if given and not sent:
        return _LEFT_OUT
    if not given:
        return _ABSENT.get(becomes, _ADDED)
    return note


def _shown(name: str, value: object) -> str:
    if value is None:
        return ""
    shown = masked_tree(value, name)
    text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
