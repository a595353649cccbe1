"""X API format: read requests to X's Conversion API, as any existing client sends them.

A request that X would refuse is refused as a whole, in X's own words: with all errors, but without
indexes [doc WEB]. A valid request is made canonical: one time field, two decimals, short event id.
Fields that X does not document are ignored, as X appears to do [seen ST, RS].
"""

import re
from typing import Final

import msgspec

from twite.domain import normalize
from twite.domain.conversion import Content, Conversion, Identifiers, amount, currency, derived_id
from twite.domain.destination import Destination
from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault
from twite.domain.outcome import XComplaint
from twite.domain.secret import Masked
from twite.domain.stats.match_keys import Flaw, digest_flaw, shape_of
from twite.domain.times import LATEST, moment
from twite.domain.value_change import ValueChange
from twite.formats.page_visit import scrubbed_url
from twite.formats.strict_json import decode
from twite.redaction.scrub_text import free_text, names_a_person, scrubbed_json, without_persons
from twite.redaction.shapes import MASK
from twite.x import spec

_EVENT: Final = re.compile(r"(?:tw-([0-9a-z]+)-)?([0-9a-z]{1,32})", re.ASCII)
_EVENT_NAME: Final = re.compile(r"gtm_[\x21-\x7e]{1,120}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_MAX_ID: Final = 256


class XIdentifier(Masked, frozen=True, omit_defaults=True):
    twclid: str | None = None
    hashed_email: str | None = None
    hashed_phone_number: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    twpid: str | None = None


class XContent(msgspec.Struct, frozen=True, omit_defaults=True):
    content_id: str | int | None = None
    content_group_id: str | int | None = None
    content_name: str | None = None
    content_price: msgspec.Raw = msgspec.Raw(b"null")
    content_type: str | None = None
    num_items: int | None = None


class XConversion(Masked, frozen=True, omit_defaults=True):
    conversion_time: str | None = None
    conversion_timestamp: int | str | None = None
    event_id: str | None = None
    event_name: str | None = None
    identifiers: list[XIdentifier] | None = None
    conversion_id: str | int | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    price_currency: str | None = None
    number_items: int | None = None
    description: str | None = None
    search_string: str | None = None
    event_source_url: str | None = None
    contents: list[XContent] | None = None
    restricted_data_use: str | None = None


class XRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    conversions: list[XConversion]


class XApiRefusal(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    complaints: tuple[XComplaint, ...]


class XReading(Masked, frozen=True, kw_only=True):
    """A request that X would accept. `body` is the stored form.

    `flaws` are (index, flaw) pairs of its match keys. `value_changes` are what value rules made of
    the amounts, empty without rules.
    """

    in_repr = ("conversions",)
    conversions: tuple[Conversion, ...]
    body: bytes
    flaws: tuple[tuple[int, Flaw], ...] = ()
    value_changes: tuple[ValueChange | None, ...] = ()


_DECODER: Final = msgspec.json.Decoder(XRequest)


def read(body: bytes, *, destination: Destination, salt: bytes) -> XReading | XApiRefusal:
    try:
        request = decode(_DECODER, body)
    except MalformedRequest as error:
        # X's error for invalid JSON is not documented [unknown].
        return _refused([_invalid(f"Invalid request body: {error.message}", error.path)])
    if len(request.conversions) > spec.MAX_CONVERSIONS:
        return _refused([_invalid(spec.TOO_MANY_CONVERSIONS, "")])
    if not request.conversions:
        return _refused([_invalid("At least one conversion must be provided", "conversions")])
    complaints: list[XComplaint] = []
    conversions = [
        _read_one(conversion, index, destination, complaints, salt=salt)
        for index, conversion in enumerate(request.conversions)
    ]
    if complaints:
        return _refused(complaints)
    return XReading(
        conversions=tuple(conversion for conversion in conversions if conversion is not None),
        body=scrubbed_json(_ENCODER.encode(_scrubbed(request)), thoroughly=True),
        flaws=tuple(
            (index, flaw)
            for index, conversion in enumerate(request.conversions)
            for flaw in _flaws(conversion.identifiers or [])
        ),
    )


def _read_one(
    given: XConversion,
    index: int,
    destination: Destination,
    complaints: list[XComplaint],
    *,
    salt: bytes,
) -> Conversion | None:
    before = len(complaints)
    event = _event(given, destination, complaints)
    at = _time(given, complaints)
    identifiers = _identifiers(given.identifiers or [], complaints)
    value = _double(given.value, "value", complaints)
    money = None
    if given.price_currency is not None:
        read_currency = currency(given.price_currency, path="price_currency")
        money = _kept(read_currency, "Currency", given.price_currency, complaints)
    elif value is not None:
        money = "USD"  # X's documented default [doc WEB]
    if given.number_items is not None and not 0 < given.number_items < 2**31:
        complaints.append(_wrong_type("Integer", given.number_items, "number_items"))
    contents = tuple(_content(content, complaints) for content in given.contents or ())
    identity = _identity(given, complaints)
    if given.restricted_data_use not in {None, *spec.RESTRICTED_DATA_USE}:
        complaints.append(_wrong_type("String", given.restricted_data_use, "restricted_data_use"))
    for name in ("description", "search_string"):
        text = getattr(given, name)
        if text is not None and _CONTROL.search(text):
            complaints.append(_wrong_type("String", text, name))
    if len(complaints) > before or event is None or at is None:
        return None
    conversion = Conversion(
        pixel=destination.pixel,
        event=event,
        conversion_id=identity,
        time=at,
        identifiers=identifiers,
        value=value,
        currency=money,
        quantity=given.number_items,
        description=free_text(given.description),
        search=free_text(given.search_string),
        url=None if given.event_source_url is None else scrubbed_url(given.event_source_url),
        contents=contents,
        restricted_data_use=given.restricted_data_use,
    )
    if identity:
        return conversion
    # X does not require an id, but Twite's retries need one. Two equal conversions in a request are
    # two conversions.
    derived = derived_id(
        salt=salt,
        scope=f"x\0{destination.pixel}\0{event}\0{index}",
        repeated=_ENCODER.encode(conversion),
    )
    return msgspec.structs.replace(conversion, conversion_id=derived)


def _event(
    conversion: XConversion, destination: Destination, complaints: list[XComplaint]
) -> str | None:
    """Read the event: a base-36 id, `tw-{pixel}-{id}`, or a `gtm_…` name [doc GTM].

    Only X knows which ids exist; errors visible in the id alone are reported here.
    """
    if not conversion.event_id:
        named = conversion.event_name
        if named and _EVENT_NAME.fullmatch(named) and not names_a_person(named):
            return named
        complaints.append(_invalid(spec.EVENT_MISSING, "event_id"))
        return None
    shown = _shown(conversion.event_id)
    spelling = _EVENT.fullmatch(conversion.event_id)
    foreign = spelling is None or spelling.group(1) not in {None, destination.pixel}
    if foreign:
        message = spec.FOREIGN_EVENT.format(event_id=shown)
        complaints.append(XComplaint(code=spec.NOT_FOUND, message=message, parameter="event_id"))
    if foreign or spelling is None or spelling.group(2) == destination.pixel:
        complaints.append(_invalid(spec.NOT_AN_EVENT.format(event_id=shown), "event_id"))
        return None
    return spelling.group(2)


def _time(conversion: XConversion, complaints: list[XComplaint]) -> int | None:
    stamp = conversion.conversion_timestamp
    if conversion.conversion_time is None and stamp is not None:
        text = str(stamp)
        if text.isascii() and text.isdigit() and len(text) <= 15 and int(text) <= LATEST:
            return int(text)
        complaints.append(_wrong_type("Long", text, "conversion_timestamp"))
        return None
    text = conversion.conversion_time or ""
    at = moment(text, now=LATEST, path="conversion_time")
    if not isinstance(at, Fault):
        return at
    message = spec.NOT_A_TIME.format(value=_shown(text), parameter="conversion_time")
    complaints.append(_invalid(message, "conversion_time"))
    return None


def _identifiers(given: list[XIdentifier], complaints: list[XComplaint]) -> Identifiers:
    """Merge the elements into one; each must be sufficient by itself. [doc WEB; seen SW]"""
    click = email = phone = ip = agent = browser = None
    enough = bool(given)
    for element in given:
        email = _digest(element.hashed_email, "hashed_email", complaints) or email
        phone = _digest(element.hashed_phone_number, "hashed_phone_number", complaints) or phone
        own_click, own_ip = _nobodys(element.twclid), _nobodys(element.ip_address)
        own_agent = without_persons((element.user_agent or "").strip())
        click, ip, agent = own_click or click, own_ip or ip, own_agent or agent
        browser = _nobodys(element.twpid) or browser
        # A malformed hash is reported by another error.
        enough = enough and bool(
            own_click
            or (element.hashed_email or "").strip()
            or (element.hashed_phone_number or "").strip()
            or (own_ip and own_agent)
        )
    merged = Identifiers(
        click_id=click, email=email, phone=phone, ip=ip, user_agent=agent, browser_id=browser
    )
    if not enough:
        complaints.append(_invalid(spec.NO_IDENTIFIER, ""))
    return merged


def _nobodys(text: str | None) -> str:
    plain = (text or "").strip()
    return "" if plain and names_a_person(plain) else plain


def _flaws(given: list[XIdentifier]) -> list[Flaw]:
    """Return match keys that X accepts and that match nobody."""
    found: list[Flaw] = []
    for element in given:
        for path, text in (
            ("hashed_email", element.hashed_email),
            ("hashed_phone_number", element.hashed_phone_number),
        ):
            plain = (text or "").strip()
            if not plain:
                continue
            read = normalize.digest(plain, path=path)
            if isinstance(read, Fault):
                found.append(Flaw(code=read.code, path=path, shape=shape_of(plain)))
            elif (flaw := digest_flaw(plain, path=path)) is not None:
                found.append(flaw)
    return found


def _digest(text: str | None, parameter: str, complaints: list[XComplaint]) -> str | None:
    plain = (text or "").strip()
    if not plain:
        return None
    digest = normalize.digest(plain, path=parameter)
    if not isinstance(digest, Fault):
        return digest
    if digest.code == "hash_of_nothing":
        # The hash of an empty field matches nobody, but X accepts it, and many clients send it.
        return plain.lower()
    # X echoes the value, and an error must not contain a raw address or number.
    shown = _shown(plain) if plain.isalnum() and not plain.isdigit() else "***"
    complaints.append(_invalid(spec.NOT_A_HASH.format(parameter=parameter, value=shown), parameter))
    return None


def _content(content: XContent, complaints: list[XComplaint]) -> Content:
    if content.num_items is not None and not 0 < content.num_items < 2**31:
        complaints.append(_wrong_type("Integer", content.num_items, "num_items"))
    return Content(
        id=None if content.content_id is None else free_text(str(content.content_id)),
        name=free_text(content.content_name),
        price=_double(content.content_price, "content_price", complaints),
        quantity=content.num_items,
        group=None
        if content.content_group_id is None
        else free_text(str(content.content_group_id)),
        type=free_text(content.content_type),
    )


def _double(raw: msgspec.Raw, parameter: str, complaints: list[XComplaint]) -> str | None:
    text = bytes(raw).decode()
    if text == "null":
        return None
    if text.startswith('"'):
        text = msgspec.json.decode(text, type=str)
    return _kept(amount(text, path=parameter), "Double", text, complaints, parameter)


def _identity(conversion: XConversion, complaints: list[XComplaint]) -> str:
    identity = "" if conversion.conversion_id is None else str(conversion.conversion_id).strip()
    if names_a_person(identity):
        complaints.append(_wrong_type("String", MASK, "conversion_id"))
    elif len(identity) > _MAX_ID or _CONTROL.search(identity):
        complaints.append(_wrong_type("String", identity, "conversion_id"))
    return identity


def _kept(
    read: str | Fault,
    kind: str,
    text: str,
    complaints: list[XComplaint],
    parameter: str = "price_currency",
) -> str | None:
    if isinstance(read, Fault):
        complaints.append(_wrong_type(kind, text, parameter))
        return None
    return read


def _scrubbed(request: XRequest) -> XRequest:
    """Return the stored form: as received, with scrubbed page URLs."""
    return XRequest(
        conversions=[
            msgspec.structs.replace(
                conversion, event_source_url=scrubbed_url(conversion.event_source_url)
            )
            if conversion.event_source_url
            else conversion
            for conversion in request.conversions
        ]
    )


def _refused(complaints: list[XComplaint]) -> XApiRefusal:
    """X responds to a mix of NOT_FOUND and INVALID_PARAMETER with 404. [doc WEB sample]"""
    missing = any(complaint.code == spec.NOT_FOUND for complaint in complaints)
    return XApiRefusal(status=404 if missing else 400, complaints=tuple(complaints))


def _invalid(message: str, parameter: str) -> XComplaint:
    return XComplaint(code=spec.INVALID_PARAMETER, message=message, parameter=parameter)


def _wrong_type(kind: str, value: object, parameter: str) -> XComplaint:
    shown = _shown(str(value))
    return _invalid(spec.WRONG_TYPE.format(type=kind, value=shown, parameter=parameter), parameter)


def _shown(text: str) -> str:
    text = without_persons(text[:4_096])
    kept = "".join(c if c.isprintable() else "?" for c in text[:128])
    return kept + ("…" if len(text) > 128 else "")
