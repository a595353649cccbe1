"""Read the usual conversion in one pass: complete, without faults, notes and flaws.

The result is the same as from `read_one`, which is slower and reads all other conversions.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain import normalize
from twite.domain.consent import PLAIN, ConsentAction
from twite.domain.conversion import CURRENCIES, Content, Conversion, Identifiers
from twite.domain.fault import Fault
from twite.domain.times import moment
from twite.formats.native.conversion import (
    MAX_ID,
    ReadContext,
    ReadConversion,
    may_be_amount,
)
from twite.formats.native.values import (
    amount_in,
    flaws_of,
    quantity_of,
    refuse_control_characters,
    refuse_long_texts,
    user_agent_of,
)
from twite.formats.page_visit import scrubbed_url
from twite.formats.parsed_request import Native, NativeContent
from twite.redaction.scrub_text import free_text
from twite.redaction.shapes import holds_a_person

_NULL: Final = b"null"
_TIDY: Final = re.compile(rb'"(?:0|[1-9][0-9]{0,17})\.[0-9]{2}"')
_UNUSUAL: Final = "\0"  # marks an amount that read_one must read


def read_usual(  # noqa: C901, PLR0911  one for each part that may be unusual
    given: Native, index: int, context: ReadContext
) -> ReadConversion | None:
    """Return what `read_one` returns, or None if the conversion is unusual."""
    placed = _place(given, context)
    identity = given.conversion_id
    if placed is None or identity is None:
        return None
    pixel, event = placed
    identity = str(identity).strip()
    if not 0 < len(identity) <= MAX_ID or holds_a_person(identity):
        return None
    identifiers = _identifiers(given, context.source.region)
    if identifiers is None or not identifiers.suffice:
        return None
    at: int | Fault = context.now
    if given.time is not None:
        at = moment(given.time, now=context.now, path="time")
        if type(at) is not int:
            return None
    value = _amount(given.value)
    currency = given.currency
    if value is _UNUSUAL or (currency is None and value is not None):
        return None
    if currency is not None and currency not in CURRENCIES:
        return None
    contents = _contents(given.contents) if given.contents else ()
    description, search = given.description, given.search
    if (
        contents is None
        or (description is not None and free_text(description) != description)
        or (search is not None and free_text(search) != search)
    ):
        return None
    url = None if given.url is None else scrubbed_url(given.url)
    verdict = context.consent(given.consent, identifiers, pixel)
    if verdict is not PLAIN and (
        verdict.action is not ConsentAction.SEND or verdict.strip or verdict.restricted
    ):
        return None
    if flaws_of(given, identifiers, (), now=context.now) or _is_faulty(given, url, context):
        return None
    return ReadConversion(
        index=index,
        pixel=pixel,
        # In the order of the fields, which takes a quarter of the time that names take.
        scrubbed=Native(
            given.event,
            given.conversion_id,
            given.time,
            given.value,
            currency,
            None,
            identifiers.email,
            None,
            identifiers.phone,
            identifiers.click_id,
            identifiers.browser_id,
            identifiers.ip,
            identifiers.user_agent,
            url,
            given.contents,
            description,
            search,
            given.consent if verdict is PLAIN else verdict.signals,  # type: ignore[arg-type]  # encoded alone
            given.pixel,
        ),
        conversion=Conversion(
            pixel=pixel,
            event=event,
            conversion_id=identity,
            time=at,  # type: ignore[arg-type]  # as checked above
            identifiers=identifiers,
            value=value,
            currency=currency,
            quantity=quantity_of(contents) if contents else None,
            description=description,
            search=search,
            url=url,
            contents=contents,
        ),
        evidence=verdict.evidence,
        event=event,
    )


def _place(given: Native, context: ReadContext) -> tuple[str, str] | None:
    """Return the pixel and X's id of the event."""
    source, name = context.source, given.event
    pixel = source.pixel if given.pixel is None else given.pixel
    destination = context.destinations.get(pixel) if pixel in source.pixels else None
    if destination is None or not name:
        return None
    event = destination.events.get(name) or destination.events.get(name.strip().lower())
    return None if event is None else (pixel, event)


def _identifiers(  # noqa: C901  a branch for each field
    given: Native, region: str | None
) -> Identifiers | None:
    email: str | Fault | None = None
    phone: str | Fault | None = None
    click: str | Fault | None = None
    browser: str | Fault | None = None
    ip: str | Fault | None = None
    agent: str | Fault | None = None
    if given.email_sha256 is not None:
        email = normalize.digest(given.email_sha256, path="")
    elif given.email is not None:
        email = normalize.email_digest(given.email, path="")
    if given.phone_sha256 is not None:
        phone = normalize.digest(given.phone_sha256, path="")
    elif given.phone is not None:
        phone = normalize.phone_digest(given.phone, region=region, path="")
    if given.twclid is not None:
        click = normalize.click_id(given.twclid, path="")
    elif given.url is not None:
        click = normalize.click_id_of_url(given.url)
    if given.twpid is not None:
        browser = normalize.browser_id(given.twpid, path="")
    if given.ip is not None:
        ip = normalize.ip_address(given.ip, path="")
    if given.user_agent is not None:
        agent = user_agent_of(given.user_agent)
    for found in (email, phone, click, browser, ip, agent):
        if type(found) is Fault:
            return None
    return Identifiers(
        click_id=click,  # type: ignore[arg-type]  # none of them is a fault
        email=email,  # type: ignore[arg-type]
        phone=phone,  # type: ignore[arg-type]
        ip=ip,  # type: ignore[arg-type]
        user_agent=agent,  # type: ignore[arg-type]
        browser_id=browser,  # type: ignore[arg-type]
    )


def _amount(raw: msgspec.Raw) -> str | None:
    text = bytes(raw)
    if text == _NULL:
        return None
    if _TIDY.fullmatch(text):
        return text[1:-1].decode()
    read = amount_in(raw, path="")
    return read if type(read) is str and may_be_amount(raw) else _UNUSUAL


def _contents(lines: Sequence[NativeContent]) -> tuple[Content, ...] | None:
    """Return the lines if their texts are stored unchanged."""
    contents = []
    for line in lines:
        id_, name, group, type_ = line.id, line.name, line.group, line.type
        quantity, price = line.quantity, _amount(line.price)
        if id_ is not None:
            id_ = str(id_)
            if free_text(id_) != id_:
                return None
        if group is not None:
            group = str(group)
            if free_text(group) != group:
                return None
        if (
            price is _UNUSUAL
            or (quantity is not None and not 0 < quantity < 2**31)
            or (name is not None and free_text(name) != name)
            or (type_ is not None and free_text(type_) != type_)
        ):
            return None
        contents.append(
            Content(id=id_, name=name, price=price, quantity=quantity, group=group, type=type_)
        )
    return tuple(contents)


def _is_faulty(given: Native, url: str | None, context: ReadContext) -> bool:
    """Whether the context, or a text that is normally not checked, has a fault."""
    faults = [*context.faults]
    if context.careful:
        refuse_control_characters(given, faults)
    if context.lengthy:
        refuse_long_texts(given, url, faults)
    return bool(faults)
