"""One conversion of our own format → canonical, or the faults that keep it from being one."""

import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Final, TypeVar

import msgspec

from twite.domain import normalize
from twite.domain.consent import PLAIN, RESTRICTED, ConsentAction, ConsentDecision, Judge, stripped
from twite.domain.conversion import Content, Conversion
from twite.domain.dedup import derived_id
from twite.domain.destination import Destination, Source
from twite.domain.fault import Fault, fault
from twite.domain.identifiers import Identifiers
from twite.domain.money import currency
from twite.domain.stats.match_keys import Flaw
from twite.domain.times import DAY, moment
from twite.formats.native.amounts import amount_in
from twite.formats.native.flaws import flaws_of
from twite.formats.native.texts import refuse_control_characters, refuse_long_texts
from twite.formats.native_shape import Native, NativeContent
from twite.formats.page_address import scrubbed_url
from twite.redaction.scrub_text import free_text, scrubbed_json
from twite.redaction.shapes import MASK, holds_a_person

T = TypeVar("T")

MAX_ID: Final = 256
_LONGEST_GUESS: Final = 64  # what is longer is not a misspelt name

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_NOBODY: Final = Identifiers()
_NULL: Final = msgspec.Raw(b"null")
_IN_NO_AMOUNT: Final = frozenset(b"@+ /")


class ReadContext(msgspec.Struct, frozen=True, kw_only=True):
    """What reading a conversion depends on beside the conversion itself.

    `careful` is whether its texts may hold control characters at all, `lengthy` whether one may be
    longer than MAX_TEXT; `consent` says what becomes of it with its signals and identifiers.
    `repeated` is what a client says again when it sends this conversion again, and `faults` what
    is known to be wrong with it (see Found). It holds a secret: it does not print.
    """

    source: Source
    destinations: Mapping[str, Destination]
    now: int
    salt: bytes
    idempotency_key: str | None
    consent: Judge
    careful: bool
    lengthy: bool
    repeated: str | None = None
    faults: tuple[Fault, ...] = ()

    def __repr__(self) -> str:
        return "Context(***)"


class ReadConversion(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one conversion.

    `conversion` is None when `faults` keep it from being one; otherwise faults are notes on
    identifiers that were left out. `suppressed` is the reason not to send it, `held` why a person
    decides, where there is one; `evidence` is what is kept of that decision, as JSON.
    `event` is X's id, "" where it has none; `flaws` are what spoils its match keys.
    """

    index: int
    pixel: str
    scrubbed: Native
    conversion: Conversion | None
    faults: tuple[Fault, ...] = ()
    suppressed: str | None = None
    held: str | None = None
    evidence: bytes | None = None
    event: str = ""
    flaws: tuple[Flaw, ...] = ()


def read_one(given: Native, index: int, context: ReadContext) -> ReadConversion:
    """Read one conversion. What is wrong with it is in the result: nothing is raised."""
    faults = [*context.faults]
    notes: list[Fault] = []
    if context.careful:
        refuse_control_characters(given, faults)
    pixel, event = _event(given, context, faults)
    identifiers = identifiers_of(given, region=context.source.region, faults=faults, notes=notes)
    at = None
    if given.time is not None:
        at = _kept(moment(given.time, now=context.now, path="time"), faults)
    value, money = _money(given, faults)
    contents = _contents(given, faults)
    url = None if given.url is None else scrubbed_url(given.url)
    if context.lengthy:
        refuse_long_texts(given, url, faults)
    identity = _identity(given, faults)
    verdict = context.consent(given.consent, identifiers, pixel)
    left = identifiers if verdict is PLAIN else _left(identifiers, verdict)
    scrubbed = _scrubbed(given, left, url, contents, identity)
    if verdict is not PLAIN:
        scrubbed = msgspec.structs.replace(scrubbed, consent=verdict.signals)
    if not identifiers.suffice:
        faults.append(fault("", "identifier_missing"))
    flaws = flaws_of(given, identifiers, (*faults, *notes), now=context.now)
    if faults:
        return ReadConversion(
            index=index,
            pixel=pixel,
            scrubbed=scrubbed,
            conversion=None,
            faults=(*faults, *notes),
            event=event,
            flaws=flaws,
        )
    conversion = Conversion(
        pixel=pixel,
        event=event,
        conversion_id=identity,
        time=context.now if at is None else at,
        identifiers=identifiers,
        value=value,
        currency=money,
        quantity=_quantity(contents),
        description=scrubbed.description,
        search=scrubbed.search,
        url=url,
        contents=contents,
    )
    if not identity:
        conversion = _with_id(conversion, index, context, timed=at is not None)
    if verdict is PLAIN:
        return ReadConversion(
            index=index,
            pixel=pixel,
            scrubbed=scrubbed,
            conversion=conversion,
            faults=tuple(notes),
            event=event,
            flaws=flaws,
        )
    # After the id: the same conversion keeps it, whatever is said of consent the next time.
    conversion = msgspec.structs.replace(
        conversion,
        identifiers=left,
        restricted_data_use=RESTRICTED if verdict.restricted else None,
    )
    return ReadConversion(
        index=index,
        pixel=pixel,
        scrubbed=scrubbed,
        conversion=conversion,
        faults=tuple(notes),
        suppressed=verdict.reason if verdict.action is ConsentAction.SUPPRESS else None,
        held=verdict.reason if verdict.action is ConsentAction.HOLD else None,
        evidence=None if verdict.evidence is None else scrubbed_json(verdict.evidence),
        event=event,
        flaws=() if verdict.action is ConsentAction.SUPPRESS else flaws,
    )


def _left(identifiers: Identifiers, verdict: ConsentDecision) -> Identifiers:
    """Return the identifiers that may go, and be kept."""
    if verdict.action is ConsentAction.SUPPRESS:
        return _NOBODY
    return stripped(identifiers, verdict.strip)


def _scrubbed(
    given: Native,
    identifiers: Identifiers,
    url: str | None,
    contents: tuple[Content, ...],
    identity: str,
) -> Native:
    """Return what is kept of it: no person raw, and nothing that could match whoever said no."""
    return msgspec.structs.replace(
        given,
        conversion_id=MASK if identity == MASK else given.conversion_id,
        email=None,
        phone=None,
        email_sha256=identifiers.email,
        phone_sha256=identifiers.phone,
        twclid=identifiers.click_id,
        twpid=identifiers.browser_id,
        ip=identifiers.ip,
        user_agent=identifiers.user_agent,
        url=url,
        # What is no amount may be anything.
        value=given.value if _may_be_amount(given.value) else _NULL,
        description=free_text(given.description),
        search=free_text(given.search),
        contents=_contents_kept(given.contents, contents) if contents else given.contents,
    )


def _contents_kept(
    given: list[NativeContent] | None, read: tuple[Content, ...]
) -> list[NativeContent] | None:
    """Return the lines as they came, with the texts that are left of them."""
    if given is None:
        return None
    for one, text in zip(given, read, strict=True):
        if (
            one.name != text.name
            or one.type != text.type
            or (one.id != text.id and type(one.id) is not int)
            or (one.group != text.group and type(one.group) is not int)
        ):
            break
    else:
        return given
    return [
        msgspec.structs.replace(one, id=text.id, name=text.name, group=text.group, type=text.type)
        for one, text in zip(given, read, strict=True)
    ]


def _may_be_amount(raw: msgspec.Raw) -> bool:
    """Whether nothing but an amount, well or badly written, can stand in it."""
    return len(raw) < 32 and _IN_NO_AMOUNT.isdisjoint(bytes(raw))


def _identity(given: Native, faults: list[Fault]) -> str:
    identity = "" if given.conversion_id is None else str(given.conversion_id).strip()
    if len(identity) > MAX_ID:
        faults.append(fault("conversion_id", "text_too_long", f"longer than {MAX_ID} characters"))
    elif identity and holds_a_person(identity):
        faults.append(fault("conversion_id", "id_is_a_person"))
        return MASK
    return identity


def _event(given: Native, context: ReadContext, faults: list[Fault]) -> tuple[str, str]:
    pixel = context.source.pixel if given.pixel is None else given.pixel
    destination = context.destinations.get(pixel) if pixel in context.source.pixels else None
    if destination is None:
        faults.append(fault("pixel", "pixel_unknown"))
        return "", ""
    if not given.event:
        faults.append(fault("event", "event_missing"))
        return pixel, ""
    name = given.event.strip().lower()
    event = destination.events.get(given.event) or destination.events.get(name)
    if event is not None:
        return pixel, event
    near = _near(name[:_LONGEST_GUESS], tuple(destination.events))
    meant = f'; did you mean "{near[0]}"?' if near else ""
    known = ", ".join(sorted(destination.events)[:12]) or "none"
    faults.append(
        fault("event", "event_unknown", f"no such event for this pixel{meant} (known: {known})")
    )
    return pixel, ""


@lru_cache(maxsize=256)
def _near(name: str, known: tuple[str, ...]) -> list[str]:
    """Return the nearest name: it is looked for once, and not in every conversion of a flood."""
    return get_close_matches(name, known, n=1, cutoff=0.5)


def identifiers_of(
    given: Native, *, region: str | None, faults: list[Fault], notes: list[Fault]
) -> Identifiers:
    """Read what may match a person.

    A wrong hash is a mistake in a program, and refused. What people typed, or a browser or proxy
    gave, may be unusable without anyone's fault: it is left out with a note, and the conversion
    goes with what remains.
    """
    email = phone = click = browser = ip = agent = None
    if given.email_sha256 is not None:
        email = _kept(normalize.digest(given.email_sha256, path="email_sha256"), faults)
    elif given.email is not None:
        email = _kept(normalize.email_digest(given.email, path="email"), notes)
    if given.phone_sha256 is not None:
        phone = _kept(normalize.digest(given.phone_sha256, path="phone_sha256"), faults)
    elif given.phone is not None:
        phone = _kept(normalize.phone_digest(given.phone, region=region, path="phone"), notes)
    if given.twclid is not None:
        click = _kept(normalize.click_id(given.twclid, path="twclid"), notes)
    if click is None and given.url is not None:
        click = normalize.click_id_of_url(given.url)
    if given.twpid is not None:
        browser = _kept(normalize.browser_id(given.twpid, path="twpid"), notes)
    if given.ip is not None:
        ip = _kept(normalize.ip_address(given.ip, path="ip"), notes)
    if given.user_agent is not None:
        agent = _kept(_user_agent(given.user_agent), notes)
    return Identifiers(
        click_id=click, email=email, phone=phone, ip=ip, user_agent=agent, browser_id=browser
    )


# Few browsers visit a shop, each of them often.
@lru_cache(maxsize=2_048)
def _user_agent(text: str) -> str | Fault:
    read = normalize.user_agent(text, path="user_agent")
    # Robots leave their owner's address there.
    is_bad = isinstance(read, str) and holds_a_person(read)
    return fault("user_agent", "user_agent_unusable") if is_bad else read


def _money(given: Native, faults: list[Fault]) -> tuple[str | None, str | None]:
    value = _amount(given.value, "value", faults)
    money = None
    if given.currency is not None:
        money = _kept(currency(given.currency, path="currency"), faults)
    elif value is not None:
        faults.append(fault("currency", "currency_missing"))
    return value, money


def _amount(raw: msgspec.Raw, path: str, faults: list[Fault]) -> str | None:
    read = amount_in(raw, path=path)
    if isinstance(read, Fault):
        faults.append(read)
        return None
    return read


def _contents(given: Native, faults: list[Fault]) -> tuple[Content, ...]:
    if not given.contents:
        return ()
    contents = []
    for index, one in enumerate(given.contents):
        own: list[Fault] = []
        contents.append(_content(one, own))
        for found in own:
            path = f"contents[{index}].{found.path}"
            faults.append(msgspec.structs.replace(found, path=path))
    return tuple(contents)


def _content(one: NativeContent, faults: list[Fault]) -> Content:
    if one.quantity is not None and not 0 < one.quantity < 2**31:
        faults.append(fault("quantity", "not_a_count"))
    return Content(
        id=None if one.id is None else free_text(str(one.id)),
        name=free_text(one.name),
        price=_amount(one.price, "price", faults),
        quantity=one.quantity,
        group=None if one.group is None else free_text(str(one.group)),
        type=free_text(one.type),
    )


def _quantity(contents: tuple[Content, ...]) -> int | None:
    """X's number_items: the sum, where every line says how many."""
    counts = [content.quantity for content in contents if content.quantity is not None]
    return sum(counts) if counts and len(counts) == len(contents) else None


def _with_id(
    conversion: Conversion, index: int, context: ReadContext, *, timed: bool
) -> Conversion:
    """Fix an id before anything is sent, from what a client repeats when it retries.

    That is its idempotency key, what its door knows to be repeated, or else all it said. Where it
    gave no time, the day stands in for it: the same sign-up a day later is another one.
    """
    scope = f"{conversion.pixel}\0{conversion.event}"
    if context.idempotency_key is not None:
        repeated = f"{context.source.name}\0{context.idempotency_key}\0{index}".encode()
        derived = derived_id(salt=context.salt, scope=f"key\0{scope}", repeated=repeated)
    elif context.repeated is not None:
        repeated = f"{context.source.name}\0{context.repeated}".encode()
        derived = derived_id(salt=context.salt, scope=f"hit\0{scope}", repeated=repeated)
    else:
        said = conversion
        if not timed:
            said = msgspec.structs.replace(conversion, time=context.now // DAY)
        text = _ENCODER.encode(said).decode()
        if not text.isascii():
            # An accented letter has two spellings, and they say the same.
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
    """Give equal conversions without an id, which stand in one request, an id each.

    They are no retries of each other: a client that sends again sends the request again, and then
    each has the id it had. The first keeps its id, the others' follow from it and from how many
    came before. Where equal ones differ in consent they stay one, so that a denial among them
    counts. `repeated` is as in Found: what has one is told apart by it.
    """
    alike: dict[str, list[tuple[int, Conversion]]] = {}
    for place, (result, one) in enumerate(zip(results, given, strict=True)):
        conversion = result.conversion
        if conversion is None or (repeated and repeated[place] is not None):
            continue
        if one.conversion_id is None or not str(one.conversion_id).strip():
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


def _kept(read: T | Fault, faults: list[Fault]) -> T | None:
    if isinstance(read, Fault):
        faults.append(read)
        return None
    return read
