"""Read the usual kind of conversion in one pass: complete, without faults and notes.

The result is the same as from `read_conversion`, which is slower and reads all other conversions.
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
    MAX_TEXT,
    amount_in,
    flaws_of,
    refuse_control_characters,
    user_agent_of,
)
from twite.formats.page_visit import scrubbed_url
from twite.formats.parsed_request import Native, NativeContent
from twite.redaction.scrub_text import free_text, names_a_person

_NULL: Final = b"null"
_ABSENT: Final = Native().value
_TIDY: Final = re.compile(rb'"((?:0|[1-9][0-9]{0,17})\.[0-9]{2})"')
_UNUSUAL: Final = "\0"  # marks an amount that only read_conversion can read
# Cached lines of `contents`, by their values. Longer lines are not cached.
_Line = tuple[object, ...]
_MOST_LINES: Final = 8_192
_LONGEST_LINE: Final = 512


def read_fast(  # noqa: C901, PLR0911, PLR0912 - a branch for each part that may be unusual
    native: Native, index: int, context: ReadContext
) -> ReadConversion | None:
    """Return what `read_conversion` returns, or None if the conversion is unusual."""
    if context.faults:
        return None
    placed = _place(native, context)
    identity = native.conversion_id
    if placed is None or identity is None:
        return None
    pixel, event = placed
    identity = str(identity).strip()
    if not 0 < len(identity) <= MAX_ID or names_a_person(identity):
        return None
    identifiers = _identifiers(native, context.source.region)
    if identifiers is None or not identifiers.suffice:
        return None
    at: int | Fault = context.now
    if native.time is not None:
        at = moment(native.time, now=context.now, path="time")
        if type(at) is not int:
            return None
    value = _amount(native.value)
    currency = native.currency
    if value is _UNUSUAL or (currency is None and value is not None):
        return None
    if currency is not None and currency not in CURRENCIES:
        return None
    contents, quantity = _contents(native.contents) if native.contents else _NO_CONTENTS
    description, search = native.description, native.search
    if contents is None or not (_is_text(description) and _is_text(search)):
        return None
    url = None if native.url is None else scrubbed_url(native.url)
    if url is not None and len(url) > MAX_TEXT:
        return None
    verdict = context.consent(native.consent, identifiers, pixel)
    if verdict is not PLAIN and (
        verdict.action is not ConsentAction.SEND or verdict.strip or verdict.restricted
    ):
        return None
    if context.careful:
        faults: list[Fault] = []
        refuse_control_characters(native, faults)
        if faults:
            return None
    return ReadConversion(
        index=index,
        pixel=pixel,
        # Passed by position, which takes a quarter of the time that names take.
        scrubbed=Native(
            native.event,
            native.conversion_id,
            native.time,
            native.value,
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
            native.contents,
            description,
            search,
            native.consent if verdict is PLAIN else verdict.signals,  # type: ignore[arg-type]  # encoded alone
            native.pixel,
        ),
        conversion=Conversion(
            pixel=pixel,
            event=event,
            conversion_id=identity,
            time=at,  # type: ignore[arg-type]  # as checked above
            identifiers=identifiers,
            value=value,
            currency=currency,
            quantity=quantity,
            description=description,
            search=search,
            url=url,
            contents=contents,
        ),
        evidence=verdict.evidence,
        event=event,
        flaws=flaws_of(native, identifiers, (), now=context.now),
    )


def _place(native: Native, context: ReadContext) -> tuple[str, str] | None:
    """Return the pixel and X's id of the event."""
    source, name = context.source, native.event
    pixel = source.pixel if native.pixel is None else native.pixel
    destination = context.destinations.get(pixel) if pixel in source.pixels else None
    if destination is None or not name:
        return None
    event = destination.events.get(name) or destination.events.get(name.strip().lower())
    return None if event is None else (pixel, event)


def _identifiers(  # noqa: C901, PLR0911, PLR0912  a branch for each field
    native: Native, region: str | None
) -> Identifiers | None:
    email: str | Fault | None = None
    phone: str | Fault | None = None
    click: str | Fault | None = None
    browser: str | Fault | None = None
    ip: str | Fault | None = None
    agent: str | Fault | None = None
    if native.email_sha256 is not None:
        email = normalize.digest(native.email_sha256, path="")
    elif native.email is not None:
        email = normalize.email_digest(native.email, path="")
    if type(email) is Fault:
        return None
    if native.phone_sha256 is not None:
        phone = normalize.digest(native.phone_sha256, path="")
    elif native.phone is not None:
        phone = normalize.phone_digest(native.phone, region=region, path="")
    if type(phone) is Fault:
        return None
    if native.twclid is not None:
        click = normalize.click_id(native.twclid, path="")
        if type(click) is Fault:
            return None
    elif native.url is not None:
        click = normalize.click_id_of_url(native.url)
    if native.twpid is not None:
        browser = normalize.browser_id(native.twpid, path="")
        if type(browser) is Fault:
            return None
    if native.ip is not None:
        ip = normalize.ip_address(native.ip, path="")
        if type(ip) is Fault:
            return None
    if native.user_agent is not None:
        agent = user_agent_of(native.user_agent)
        if type(agent) is Fault:
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
    if raw is _ABSENT:
        return None
    tidy = _TIDY.fullmatch(raw)
    if tidy is not None:
        return tidy[1].decode()
    if bytes(raw) == _NULL:
        return None
    read = amount_in(raw, path="")
    return read if type(read) is str and may_be_amount(raw) else _UNUSUAL


def _contents(lines: Sequence[NativeContent]) -> tuple[tuple[Content, ...] | None, int | None]:
    """Return the lines and the sum of their quantities, like `quantity_of`.

    The lines are None if one of their strings is not stored unchanged.
    """
    contents = []
    quantity: int | None = 0
    for line in lines:
        values = line.id, line.name, bytes(line.price), line.quantity, line.group, line.type
        content = _lines.get(values)
        if content is None:
            content = _content(line)
            if content is None:
                return None, None
            _remember(values, content)
        if quantity is not None:
            quantity = None if content.quantity is None else quantity + content.quantity
        contents.append(content)
    return tuple(contents), quantity


def _content(content: NativeContent) -> Content | None:
    id_ = None if content.id is None else str(content.id)
    group = None if content.group is None else str(content.group)
    price = _amount(content.price)
    if (
        price is _UNUSUAL
        or (content.quantity is not None and not 0 < content.quantity < 2**31)
        or not (
            _is_text(id_) and _is_text(content.name) and _is_text(group) and _is_text(content.type)
        )
    ):
        return None
    return Content(
        id=id_,
        name=content.name,
        price=price,
        quantity=content.quantity,
        group=group,
        type=content.type,
    )


def _is_text(text: str | None) -> bool:
    """Return whether a string is stored unchanged."""
    return text is None or (len(text) <= MAX_TEXT and free_text(text) == text)


def _remember(line: _Line, content: Content) -> None:
    if sum([len(value) for value in line if isinstance(value, str)]) <= _LONGEST_LINE:
        if len(_lines) >= _MOST_LINES:
            _lines.clear()
        _lines[line] = content


_lines: dict[_Line, Content] = {}
_NO_CONTENTS: Final[tuple[tuple[Content, ...], int | None]] = (), None
