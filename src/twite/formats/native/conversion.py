"""Read one native conversion. The result is a canonical conversion, or the faults that prevent it.

Applies consent, derives missing ids (dedup), and lists the flaws of match keys.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

import msgspec

from twite.domain.cause import DENIALS, DeliveryCause
from twite.domain.consent import (
    PLAIN,
    RESTRICTED,
    ConsentAction,
    ConsentDecision,
    Judge,
    stripped,
)
from twite.domain.conversion import Conversion, Identifiers, derived_id
from twite.domain.destination import Destination, Source
from twite.domain.fault import Fault, fault
from twite.domain.secret import Masked
from twite.domain.stats.match_keys import Flaw
from twite.domain.times import DAY, moment
from twite.domain.value_change import NO_RULE_FIELDS, RuleFields, ValueChange
from twite.formats.native.values import (
    contents_of,
    flaws_of,
    identifiers_of,
    money_of,
    refuse_control_characters,
    refuse_long_texts,
    rule_fields_of,
    value_or_fault,
)
from twite.formats.page_visit import scrubbed_url
from twite.formats.parsed_request import Native
from twite.redaction.scrub_text import free_text, names_a_person
from twite.redaction.shapes import MASK

MAX_ID: Final = 256
_LONGEST_GUESS: Final = 64  # a longer key is not a misspelling

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_NOBODY: Final = Identifiers()
# The fields of the dedup key.
_KEY: Final = frozenset({"pixel", "event", "conversion_id"})


class ReadContext(Masked, frozen=True, kw_only=True):
    """The context in which a conversion is read.

    `careful` says whether its texts may contain control characters, `lengthy` whether a text may be
    longer than MAX_TEXT; `judge` decides by its signals and identifiers. `repeated` has the
    fields that a client repeats in a retry of this conversion, and `faults` the faults already
    known (see ParsedRequest). The context contains a secret: its repr is masked.
    """

    source: Source
    destinations: Mapping[str, Destination]
    now: int
    salt: bytes
    idempotency_key: str | None
    judge: Judge
    careful: bool
    lengthy: bool
    repeated: str | None = None
    faults: tuple[Fault, ...] = ()


class ReadConversion(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one conversion.

    If `is_faulty`, `faults` are the reasons why it is not sent; otherwise they are notes on omitted
    identifiers. `conversion` is None if it is faulty, unless consent is denied and the dedup key is
    readable: then it is suppressed, so that the denial applies to its copies. `suppressed` is the
    reason not to send it; `held` the reason why a user must decide, if any, and `cause`
    either as a value; `evidence` is the
    stored record of the consent verdict, as JSON. `event` is X's id, "" if it has none; `flaws` are
    the flaws of its match keys; `value_change` is what a value rule made of its amount, and
    `rule_fields` what only such rules read.
    """

    index: int
    pixel: str
    native: Native
    conversion: Conversion | None
    faults: tuple[Fault, ...] = ()
    suppressed: str | None = None
    held: str | None = None
    cause: DeliveryCause | None = None
    evidence: bytes | None = None
    event: str = ""
    flaws: tuple[Flaw, ...] = ()
    is_faulty: bool = False
    is_unknown_event: bool = False  # this is its only fault, so tags may still get it
    value_change: ValueChange | None = None
    rule_fields: RuleFields = NO_RULE_FIELDS


def read_conversion(native: Native, index: int, context: ReadContext) -> ReadConversion:
    """Read one conversion. Errors are in the result; the function never raises."""
    faults = [*context.faults]
    notes: list[Fault] = []
    if context.careful:
        refuse_control_characters(native, faults)
    pixel, event = _event(native, context, faults)
    identifiers = identifiers_of(native, region=context.source.region, faults=faults, notes=notes)
    at = None
    if native.time is not None:
        at = value_or_fault(moment(native.time, now=context.now, path="time"), faults)
    value, money, raw_amount = money_of(native, faults)
    rule_fields, raw_tax, raw_shipping = rule_fields_of(native, notes)
    contents, kept, quantity = contents_of(native, faults)
    url = None if native.url is None else scrubbed_url(native.url)
    if context.lengthy:
        refuse_long_texts(native, url, faults)
    identity = _identity(native, faults)
    verdict = context.judge(native.consent, identifiers, pixel)
    signals: Mapping[str, str | bool] | None = native.consent
    left, suppressed, held, cause = identifiers, None, None, None
    if verdict is not PLAIN:
        left, signals = _left(identifiers, verdict), verdict.signals
        suppressed = verdict.reason if verdict.action is ConsentAction.SUPPRESS else None
        held = verdict.reason if verdict.action is ConsentAction.HOLD else None
        cause = verdict.cause if suppressed or held else None
    # The stored form: no raw personal data, and no match keys if consent is denied. Passed by
    # position, which takes a quarter of the time that names take.
    scrubbed = Native(
        native.event,
        MASK if identity == MASK else native.conversion_id,
        native.time,
        raw_amount,
        native.currency,
        None,
        left.email,
        None,
        left.phone,
        left.click_id,
        left.browser_id,
        left.ip,
        left.user_agent,
        url,
        kept,
        None if native.description is None else free_text(native.description),
        None if native.search is None else free_text(native.search),
        signals,  # type: ignore[arg-type]  # encoded alone
        native.pixel,
        None,
        None,
        raw_tax,
        raw_shipping,
        rule_fields.new_customer,
    )
    if not identifiers.suffice and not _may_gain(native, context.source, identity):
        faults.append(fault("", "identifier_missing"))
    found = (*faults, *notes) if faults or notes else ()
    flaws = flaws_of(native, identifiers, found, now=context.now)
    if faults:
        is_denied = (
            bool(identity)
            and suppressed is not None
            and cause in DENIALS
            and _KEY.isdisjoint(map(field_of, faults))
        )
        bare = Conversion(
            pixel=pixel,
            event=event,
            conversion_id=identity,
            time=context.now if at is None else at,
            identifiers=_NOBODY,
        )
        return ReadConversion(
            index=index,
            pixel=pixel,
            native=scrubbed,
            conversion=bare if is_denied else None,
            faults=found,
            suppressed=suppressed if is_denied else None,
            cause=cause if is_denied else None,
            evidence=verdict.evidence,
            event=event,
            flaws=() if is_denied else flaws,
            is_faulty=True,
            is_unknown_event=[fault.code for fault in faults] == ["event_unknown"],
        )
    conversion = Conversion(
        pixel=pixel,
        event=event,
        conversion_id=identity,
        time=context.now if at is None else at,
        identifiers=identifiers,
        value=value,
        currency=money,
        quantity=quantity,
        description=scrubbed.description,
        search=scrubbed.search,
        url=url,
        contents=contents,
    )
    if not identity:
        conversion = _with_id(conversion, index, context, timed=at is not None)
    if verdict is not PLAIN:
        # Applied after the id is derived, so that the id stays the same if consent signals change.
        conversion = msgspec.structs.replace(
            conversion,
            identifiers=left,
            restricted_data_use=RESTRICTED if verdict.restricted else None,
        )
    return ReadConversion(
        index=index,
        pixel=pixel,
        native=scrubbed,
        conversion=conversion,
        faults=found,
        suppressed=suppressed,
        held=held,
        cause=cause,
        evidence=verdict.evidence,
        event=event,
        flaws=flaws if suppressed is None else (),
        rule_fields=rule_fields,
    )


def _may_gain(native: Native, source: Source, identity: str) -> bool:
    """Return whether a conversion without identifiers waits for those of its visitor."""
    return source.wait > 0 and bool(identity or native.user_id or native.visitor_id)


def field_of(fault: Fault) -> str:
    return fault.path.partition(".")[0].partition("[")[0]


def _left(identifiers: Identifiers, decision: ConsentDecision) -> Identifiers:
    if decision.action is ConsentAction.SUPPRESS:
        return _NOBODY
    return stripped(identifiers, decision.strip)


def _identity(native: Native, faults: list[Fault]) -> str:
    identity = "" if native.conversion_id is None else str(native.conversion_id).strip()
    if len(identity) > MAX_ID:
        faults.append(fault("conversion_id", "text_too_long", f"longer than {MAX_ID} characters"))
    elif identity and names_a_person(identity):
        faults.append(fault("conversion_id", "id_is_a_person"))
        return MASK
    return identity


def _event(native: Native, context: ReadContext, faults: list[Fault]) -> tuple[str, str]:
    pixel = context.source.pixel if native.pixel is None else native.pixel
    destination = context.destinations.get(pixel) if pixel in context.source.pixels else None
    if destination is None:
        faults.append(fault("pixel", "pixel_unknown"))
        return "", ""
    if not native.event:
        faults.append(fault("event", "event_missing"))
        return pixel, ""
    event = destination.event_id(native.event)
    if event is not None:
        return pixel, event
    name = native.event.strip().lower()
    near = _near(name[:_LONGEST_GUESS], tuple(destination.events))
    meant = f'; did you mean "{near[0]}"?' if near else ""
    known = ", ".join(sorted(destination.events)[:12]) or "none"
    faults.append(
        fault("event", "event_unknown", f"no such event for this pixel{meant} (known: {known})")
    )
    return pixel, ""


@lru_cache(maxsize=256)
def _near(name: str, known: tuple[str, ...]) -> list[str]:
    return get_close_matches(name, known, n=1, cutoff=0.5)


def _with_id(
    conversion: Conversion, index: int, context: ReadContext, *, timed: bool
) -> Conversion:
    """Give a conversion without an id one that is derived from the fields that a retry repeats.

    These are its idempotency key, the fields that its format knows to be repeated, or else all
    fields of the conversion. Without a time, the day is included: the same sign-up a day later is
    another conversion.
    """
    scope = f"{conversion.pixel}\0{conversion.event}"
    if context.idempotency_key is not None:
        repeated = f"{context.source.name}\0{context.idempotency_key}\0{index}".encode()
        derived = derived_id(salt=context.salt, scope=f"key\0{scope}", repeated=repeated)
    elif context.repeated is not None:
        repeated = f"{context.source.name}\0{context.repeated}".encode()
        derived = derived_id(salt=context.salt, scope=f"hit\0{scope}", repeated=repeated)
    else:
        dated = conversion
        if not timed:
            dated = msgspec.structs.replace(conversion, time=context.now // DAY)
        text = _ENCODER.encode(dated).decode()
        if not text.isascii():
            # An accented letter can be encoded in two ways.
            text = unicodedata.normalize("NFC", text)
        derived = derived_id(salt=context.salt, scope=f"content\0{scope}", repeated=text.encode())
    return msgspec.structs.replace(conversion, conversion_id=derived)


def tell_repeats_apart(
    results: list[ReadConversion],
    given: Sequence[Native],
    *,
    salt: bytes,
    repeated: Sequence[str | None] = (),
) -> None:
    """Give equal conversions without an id in one request different ids.

    They are not retries of each other: a retry repeats the whole request, and then each gets the
    same id again. The first keeps its id; the other ids are derived from that id and the position.
    Equal conversions that differ in consent keep one id, so that a denial among them counts.
    Conversions with fields in `repeated` (see ParsedRequest) already have different ids.
    """
    nameless = [
        place
        for place, item in enumerate(given)
        if item.conversion_id is None or not str(item.conversion_id).strip()
    ]
    alike: dict[str, list[tuple[int, Conversion]]] = {}
    for place in nameless:
        conversion = results[place].conversion
        if conversion is not None and not (repeated and repeated[place] is not None):
            alike.setdefault(conversion.conversion_id, []).append((place, conversion))
    for first, equal in alike.items():
        consents = [given[place].consent for place, _ in equal]
        if consents.count(consents[0]) < len(consents):
            continue
        for count, (place, conversion) in enumerate(equal[1:], 1):
            again = derived_id(salt=salt, scope="again", repeated=f"{first}\0{count}".encode())
            results[place] = msgspec.structs.replace(
                results[place],
                conversion=msgspec.structs.replace(conversion, conversion_id=again),
            )
