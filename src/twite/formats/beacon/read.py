"""Beacon format (`/t`): messages of the first-party script to conversions and clicks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.errors import MalformedRequest
from twite.domain.fault import Fault, fault
from twite.domain.submission import Ignored
from twite.domain.times import DAY, spelled
from twite.formats.beacon.shape import (
    BeaconClick,
    BeaconContent,
    BeaconConversion,
    BeaconMessage,
    Number,
    PixelCall,
    click_in,
    consent_in,
    conversion_in,
    ignored_in,
    number_in,
)
from twite.formats.event_data.consent import said_in, signals_of, strictest
from twite.formats.event_data.conversions import ignored_as
from twite.formats.event_data.values import MAX_ITEMS_IN_ALL
from twite.formats.native.values import is_more, yes_or_no
from twite.formats.page_visit import (
    BROWSER_ID,
    Click,
    Visitor,
    clicks_of,
    in_full,
    is_robot,
    newest_of,
    read_click,
)
from twite.formats.parsed_request import Native, NativeContent, ParsedRequest
from twite.formats.strict_json import decode, with_replacements

MAX_CONVERSIONS: Final = 20
# A tab that was suspended or a phone that was offline may report this late. Older times come from a
# wrong clock.
LONGEST_WAIT: Final = 7 * DAY

# Reasons to ignore an event, with their meaning. The reference page lists them.
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bot": "the visitor is a bot or an automated browser",
        "prerender": "the page was never visible",
        "value_limit": "the amount is above the source's `browser_value_limit`. "
        "Send the conversion from a server",
        "unsaid": "the script gave no known reason",
    }
)

_DECODER: Final = msgspec.json.Decoder(BeaconMessage)
_NULL: Final = msgspec.Raw(b"null")


class Beacon(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions in a message, and what X's pixel did with each.

    `click` is the newest click in the page's message and cookies; `consent` applies to all
    conversions, in addition to their own signals. Indexes are positions in the message, which count
    ignored conversions.
    """

    parsed: ParsedRequest
    pixel_calls: tuple[PixelCall, ...]
    places: tuple[int, ...]
    click: Click | None
    consent: Mapping[str, str | bool]


def read(body: bytes, visitor: Visitor) -> Beacon:
    """Read a message of the script. Raises MalformedRequest, also for too many conversions.

    Faults of a single conversion are reported with that conversion.
    """
    message = decode(_DECODER, with_replacements(body), frame=True)
    given, ignored = message.conversions or [], ignored_in(message.ignored)
    if len(given) > MAX_CONVERSIONS or len(ignored) > MAX_CONVERSIONS:
        raise MalformedRequest(
            code="too_many",
            path="conversions" if len(given) > MAX_CONVERSIONS else "ignored",
            message=f"a beacon can contain at most {MAX_CONVERSIONS} conversions",
        )
    conversions = _bounded([conversion_in(raw) for raw in given])
    # The two clocks may differ by years, but the age of an event is the same on both.
    sent = number_in(message.sent)
    ahead = None if sent is None else visitor.now - _whole(sent)
    clicks = _clicks(click_in(message.click), ahead, visitor)
    click = newest_of(clicks, clicks_of(visitor.cookies, now=visitor.now))
    consent = consent_in(message.consent)
    if visitor.opted_out:
        consent = {**consent, "gpc": True}
    left_out = []
    for entry in ignored:
        reason = entry.reason or ""
        left_out.append(ignored_as(entry.name or "", reason if reason in REASONS else "unsaid"))
    return _sorted(
        conversions, left_out, visitor=visitor, ahead=ahead, click=click, consent=consent
    )


def read_image(pairs: Sequence[tuple[str, str]], visitor: Visitor) -> Beacon:
    """Read the image request of a page without JavaScript: one conversion, from the query.

    If a parameter is repeated, its first value counts; for a consent signal, the strictest does.
    """
    query = dict(reversed(pairs))
    page = query.get("url") or visitor.referer
    landed = read_click(query.get("twclid", ""), visitor.now)
    if landed is None and page and "twclid=" in page:
        landed = read_click(page, visitor.now)
    click = newest_of([landed] if landed else [], clicks_of(visitor.cookies, now=visitor.now))
    value = query.get("value")
    given = BeaconConversion(
        event=query.get("event"),
        conversion_id=query.get("conversion_id"),
        value=_NULL if value is None else msgspec.Raw(msgspec.json.encode(value)),
        currency=query.get("currency"),
        url=page,
    )
    consent = signals_of(said_in(pairs), opted_out=visitor.opted_out)
    return _sorted([(given, ())], [], visitor=visitor, ahead=None, click=click, consent=consent)


def _bounded(
    conversions: Iterable[tuple[BeaconConversion, tuple[Fault, ...]]],
) -> Iterator[tuple[BeaconConversion, tuple[Fault, ...]]]:
    """Omit items beyond the number that Twite reads from one message."""
    left = MAX_ITEMS_IN_ALL
    for conversion, wrong in conversions:
        lines = len(conversion.contents or ())
        if lines > left:
            much = fault("contents", "too_many", f"more than {MAX_ITEMS_IN_ALL} items in a beacon")
            yield msgspec.structs.replace(conversion, contents=None), (*wrong, much)
            continue
        left -= lines
        yield conversion, wrong


def _sorted(
    given: Iterable[tuple[BeaconConversion, tuple[Fault, ...]]],
    ignored: list[Ignored],
    *,
    visitor: Visitor,
    ahead: int | None,
    click: Click | None,
    consent: Mapping[str, str | bool],
) -> Beacon:
    robot = visitor.user_agent is not None and is_robot(visitor.user_agent)
    conversions: list[Native] = []
    pixel_calls: list[PixelCall] = []
    faults: list[tuple[Fault, ...]] = []
    places: list[int] = []
    unwanted: list[tuple[int, Native]] = []
    for place, (conversion, wrong) in enumerate(given):
        native = _native(conversion, visitor=visitor, ahead=ahead, click=click, consent=consent)
        reason = _reason_to_ignore(conversion, robot=robot, limit=visitor.value_limit)
        if reason is not None:
            if native.consent:
                unwanted.append((len(ignored), native))
            ignored.append(ignored_as(conversion.event or "", reason))
            continue
        conversions.append(native)
        pixel_calls.append(_pixel_call(conversion.pixel))
        faults.append(wrong)
        places.append(place)
    hit = msgspec.json.encode({"pixel_calls": pixel_calls}) if pixel_calls else None
    return Beacon(
        parsed=ParsedRequest(
            conversions=tuple(conversions),
            ignored=tuple(ignored),
            hit=None if hit is None else msgspec.Raw(hit),
            faults=tuple(faults) if any(faults) else (),
            unwanted=tuple(unwanted),
        ),
        pixel_calls=tuple(pixel_calls),
        places=tuple(places),
        click=None if robot else click,
        consent=consent,
    )


def _native(
    conversion: BeaconConversion,
    *,
    visitor: Visitor,
    ahead: int | None,
    click: Click | None,
    consent: Mapping[str, str | bool],
) -> Native:
    return Native(
        event=conversion.event,
        conversion_id=conversion.conversion_id,
        time=_time(conversion.at, ahead, visitor.now),
        value=conversion.value,
        currency=conversion.currency,
        email=conversion.email,
        email_sha256=conversion.email_sha256,
        phone=conversion.phone,
        phone_sha256=conversion.phone_sha256,
        twclid=conversion.twclid or (in_full(click) if click else None),
        twpid=conversion.twpid or visitor.cookies.get(BROWSER_ID),
        ip=visitor.ip,
        user_agent=visitor.user_agent,
        url=conversion.url or visitor.referer,
        contents=[_content(content) for content in conversion.contents]
        if conversion.contents
        else None,
        description=conversion.description,
        search=conversion.search,
        consent=strictest(consent, consent_in(conversion.consent)) or None,
        tax=conversion.tax,
        shipping=conversion.shipping,
        new_customer=yes_or_no(conversion.new_customer),
    )


def _content(content: BeaconContent) -> NativeContent:
    whole = content.quantity is not None and content.quantity == _whole(content.quantity)
    return NativeContent(
        id=content.id,
        name=content.name,
        price=content.price,
        quantity=_whole(content.quantity) if content.quantity is not None and whole else None,
        group=content.group,
        type=content.type,
    )


def _time(at: Number | None, ahead: int | None, now: int) -> str | None:
    """Return the time by the gateway's clock; None if the browser's clock is not usable."""
    if at is None or ahead is None:
        return None
    moment = _whole(at) + ahead
    return spelled(moment) if now - LONGEST_WAIT <= moment <= now else spelled(now)


def _clicks(beacon_click: BeaconClick | None, ahead: int | None, visitor: Visitor) -> list[Click]:
    if beacon_click is None or beacon_click.id is None:
        return []
    at = _whole(beacon_click.at or 0)
    if at and ahead is not None:
        at = min(at + ahead, visitor.now)
    click = read_click(beacon_click.id, max(0, at))
    return [] if click is None else [click]


def _reason_to_ignore(
    conversion: BeaconConversion, *, robot: bool, limit: Decimal | None
) -> str | None:
    if robot:
        return "bot"
    return "value_limit" if limit is not None and is_more(conversion.value, limit) else None


def _pixel_call(given: str | None) -> PixelCall:
    return PixelCall(given) if given in set(PixelCall) else PixelCall.ABSENT


def _whole(number: Number) -> int:
    return int(number) if abs(number) < 1 << 53 else 0
