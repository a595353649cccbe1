"""Convert common event data to conversions, for all tag formats.

Reads Google's common event data [doc GDOC common-event-data], the extra names that Stape's tag
reads [seen TW, DC], and the spellings that hand-written tags use. Each tag format maps its own wire
format to event data, and calls this module.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.destination import Destination, Source
from twite.domain.fault import Fault
from twite.domain.normalize import click_id_of_url
from twite.domain.secret import Masked
from twite.domain.submission import Ignored
from twite.domain.times import LATEST, spelled
from twite.formats.event_data.consent import signals_of, strictest
from twite.formats.event_data.values import (
    MAX_ITEMS_IN_ALL,
    content_of,
    first_text,
    items_of,
    rule_fields_in,
    trace_of,
    worth_more,
    worth_of,
)
from twite.formats.page_visit import (
    BROWSER_ID,
    Click,
    Visitor,
    clicks_of,
    in_full,
    is_robot,
    newest,
    newest_of,
    read_click,
)
from twite.formats.parsed_request import Event, Native, ParsedRequest, TagEvent
from twite.formats.strict_json import refuse_more
from twite.redaction.scrub_text import free_text

IGNORE: Final = "ignore"
# The field with the usual name of an event that its format calls otherwise: Segment's "Order
# Completed" is a `purchase`.
STANDARD: Final = "standard_event"
MAX_NAME: Final = 64
_LONGEST_NAME: Final = 256

KEY_IN_PAGE: Final = "key_in_page"
# Reasons to ignore an event, with their meaning. The reference page lists them.
REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mapped_to_ignore": "the source's `events` maps it to `ignore`",
        "not_configured": "the pixel has no such event",
        "no_name": "the tag sent no event name",
        "preview": "the event comes from a tag manager's preview, not from a visitor",
        "bot": "the event comes from a bot or an automated browser",
        "value_limit": "the amount is above the source's `browser_value_limit`. "
        "Send the conversion from a server",
        KEY_IN_PAGE: "a page's request contained the source's secret key. Give pages the "
        "source's `write_key`",
    }
)

# X does not get these events, but tags may still fire for them.
UNKNOWN_TO_X: Final = frozenset({"mapped_to_ignore", "not_configured"})

# Names for X's event types, one group for each type [doc WEB]: the name that the pixel has is used.
# The first name of a group is the one in our own examples; GA4's recommended names are included.
SPELLINGS: Final = (
    ("purchase", "order", "complete_payment"),
    ("sign_up", "complete_registration", "registration"),
    ("lead", "generate_lead", "submit_form"),
    ("add_to_cart",),
    ("checkout", "begin_checkout", "initiate_checkout", "checkout_initiated"),
    ("add_payment_info", "added_payment_info"),
    ("add_to_wishlist",),
    ("view_item", "view_content", "content_view"),
    ("search",),
    ("page_view", "site_visit", "landing_page_view"),
    ("download", "file_download"),
    ("start_trial", "trial"),
    ("subscribe", "subscription"),
    ("product_customization", "customize_product"),
)

_NOT_A_LETTER: Final = re.compile(r"[\W_]+")
EMAILS: Final = (
    "email", "email_address", "user_data.email_address", "user_data.email", "userEmail", "mail",
    "user_data.sha256_email_address", "sha256_email_address", "email_sha256", "hashed_email",
)  # fmt: skip
PHONES: Final = (
    "phone", "phone_number", "user_data.phone_number", "user_data.phone", "userPhoneNumber",
    "phoneNumber", "user_data.sha256_phone_number", "sha256_phone_number", "phone_sha256",
    "hashed_phone_number",
)  # fmt: skip
# A SHA-256 digest in base64, either alphabet.
_BASE64_DIGEST: Final = re.compile(r"[A-Za-z0-9+/_-]{43}=?", re.ASCII)
_ONE_ALPHABET: Final = str.maketrans("-_", "+/")
# URLs of Google's Tag Assistant, which shows a page inside its own. [seen TW, DT]
PREVIEW_PAGE: Final = "https://gtm-msr.appspot.com/"
_IDS: Final = (
    "conversion_id", "transaction_id", "ecommerce.transaction_id", "order_id", "orderId",
    "subscription_id", "lead_id", "event_id", "eventId", "unique_event_id",
)  # fmt: skip
_TIMES: Final = (
    "conversion_time", "conversionTime", "dateISO", "conversion_timestamp", "timestamp_micros",
)  # fmt: skip
_PAGES: Final = ("page_location", "pageLocation", "url", "href")
_SEARCHES: Final = ("search_term", "search_string", "searchTerm")
_CLICKS: Final = ("twclid", "_twclid", "common_cookie.twclid", "common_cookie._twclid")
_ADDRESSES: Final = ("ip_override", "ipOverride", "ip", "ip_address")
_AGENTS: Final = ("user_agent", "userAgent")
_USERS: Final = ("user_id", "userId")
_VISITORS: Final = ("client_id", "clientId", "visitor_id")
# Reasons that apply only to events whose name is one of the pixel's.
_MAY_DENY: Final = frozenset({"bot", "value_limit"})
_ALL_READ: Final[Mapping[int, Fault]] = MappingProxyType({})
# Seconds, milliseconds or microseconds since the epoch, by the number of digits.
_STAMP: Final = re.compile(r"[0-9]{10}(?:[0-9]{3}){0,2}", re.ASCII)


def our_name(
    name: str, *, chosen: Mapping[str, str], known: Iterable[str], standard: str | None = None
) -> str | Ignored:
    """Return the name among `known` for a tag's event, or the reason why it has none.

    The source's own mapping, `chosen`, has priority. Otherwise the pixel's event matches if it has
    this name, a name that differs only in capitals, spaces and hyphens, or a synonym. `standard` is
    what the name means in its format (see STANDARD).
    """
    plain = name.strip().lower()
    if not plain:
        return ignored_as("", "no_name")
    target = chosen.get(plain)
    if target == IGNORE:
        return ignored_as(name, "mapped_to_ignore")
    names = tuple(known)
    if target is not None:
        return target if target in names else ignored_as(name, "not_configured")
    if plain in names:
        return plain
    squashed = {_squashed(name): name for name in names}
    # Longer names are not cached, which limits the size of the cache.
    own = _squashed(plain) if len(plain) <= _LONGEST_NAME else plain
    meant = _SAME.get(_squashed(standard), ()) if standard else ()
    for spelling in (own, *_SAME.get(own, ()), *meant):
        if spelling in squashed:
            return squashed[spelling]
    return ignored_as(name, "not_configured")


def ignored_as(name: str, reason: str) -> Ignored:
    """Return an ignored event with a name that is safe to show: one line, without personal data."""
    # Scrubbed before and after, because an invisible character may split an email or two numbers.
    scrubbed = free_text(name[:256]) or ""
    if not scrubbed.isprintable():
        line = "".join([letter if letter.isprintable() else " " for letter in scrubbed])
        scrubbed = free_text(line) or ""
    return Ignored(name=scrubbed[:MAX_NAME], reason=reason)


@lru_cache(maxsize=1_024)
def _squashed(name: str) -> str:
    """Reduce `Add to Cart`, `addToCart` and `add-to-cart` to the same name."""
    return _NOT_A_LETTER.sub("", name.lower())


_SAME: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        _squashed(name): tuple(_squashed(alias) for alias in group)
        for group in SPELLINGS
        for name in group
    }
)


def _hexadecimal(text: str | None) -> str | None:
    """Return an email, a phone number or its digest; a base64 digest becomes hexadecimal."""
    if text is None or not _BASE64_DIGEST.fullmatch(text):
        return text
    plain = text.rstrip("=").translate(_ONE_ALPHABET)
    try:
        return base64.b64decode(f"{plain}=", validate=True).hex()
    except binascii.Error:
        return text


class Tagged(Masked, frozen=True, kw_only=True):
    """The events of one tag request, as event data. It holds personal data: its repr is masked.

    `repeated` has, for each event, the fields that a retry repeats, or None; `listed` says whether
    the events arrived as a list. `client` is the client id of Stape's Data Tag, or "". `unread` has
    the errors of unreadable events, by index; such an event is empty.
    """

    events: tuple[Event, ...]
    repeated: tuple[str | None, ...]
    listed: bool = False
    client: str = ""
    unread: Mapping[int, Fault] = msgspec.field(default_factory=dict)

    @property
    def readable(self) -> list[Event]:
        return [event for place, event in enumerate(self.events) if place not in self.unread]


def parse_events(
    events: Sequence[Event],
    *,
    source: Source,
    destinations: Mapping[str, Destination],
    visitor: Visitor,
    repeated: Sequence[str | None] = (),
    pixel: str | None = None,
    unread: Mapping[int, Fault] = _ALL_READ,
) -> ParsedRequest:
    """Sort events into conversions and ignored events.

    `unread` events are rejected like conversions. An event is decoded JSON in the shape of common
    event data; a dotted name, such as `user_data.email_address`, may be nested or one key.
    `repeated` has, for each event, the fields that a retry repeats (see ParsedRequest). `pixel`
    overrides the source's own. Raises MalformedRequest if there are too many items in all.
    """
    destination = destinations.get(source.pixel if pixel is None else pixel)
    known = tuple(destination.events) if destination is not None else ()
    items = sum(len(items_of(event)) for event in events)
    refuse_more(items, MAX_ITEMS_IN_ALL, "items", path="")
    conversions: list[Native] = []
    again: list[str | None] = []
    traces: list[dict[str, object]] = []
    ignored: list[Ignored] = []
    tag_events: list[TagEvent] = []
    faults: dict[int, tuple[Fault, ...]] = {}
    unwanted: list[tuple[int, Native]] = []
    for place, event in enumerate(events):
        if place in unread:
            faults[len(conversions)] = (unread[place],)
            conversions.append(Native(pixel=pixel))
            again.append(None)
            traces.append({})
            continue
        said_again = repeated[place] if place < len(repeated) else None
        name = _named(event, source=source, known=known, visitor=visitor)
        if isinstance(name, Ignored):
            if name.reason in _MAY_DENY:
                stated = first_text(event, ("event_name",)) or ""
                own = our_name(
                    stated,
                    chosen=source.events,
                    known=known,
                    standard=first_text(event, (STANDARD,)),
                )
                denier = _conversion(event, str(own), visitor, pixel)
                if denier.consent:
                    unwanted.append((len(ignored), denier))
            ignored.append(name)
            if name.reason in UNKNOWN_TO_X:
                tag_events.append(TagEvent(event=event, visitor=visitor, repeated=said_again))
            continue
        place_of = len(conversions)
        tag_events.append(
            TagEvent(event=event, visitor=visitor, repeated=said_again, conversion=place_of)
        )
        conversions.append(_conversion(event, name, visitor, pixel))
        again.append(said_again)
        traces.append(trace_of(event))
    return ParsedRequest(
        conversions=tuple(conversions),
        ignored=tuple(ignored),
        hit=msgspec.Raw(msgspec.json.encode(traces)) if traces else None,
        repeated=tuple(again),
        tag_events=tuple(tag_events),
        faults=tuple([faults.get(n, ()) for n in range(len(conversions))]) if faults else (),
        unwanted=tuple(unwanted),
    )


def as_seen(tag_event: TagEvent) -> Event:
    """Return the event with the request's own address and user agent, not those in its data."""
    event, visitor = tag_event.event, tag_event.visitor
    if visitor.trusted:
        return event
    claimed = {*_ADDRESSES, *_AGENTS}
    seen = {name: value for name, value in event.items() if name not in claimed}
    fields = {"ip_override": visitor.ip, "user_agent": visitor.user_agent}
    if first_text(event, _PAGES) is None:
        fields["page_location"] = visitor.referer
    return seen | {name: text for name, text in fields.items() if text is not None}


def in_our_words(tag_event: TagEvent) -> Native:
    """Return the event as a conversion in the native format, with the event's name unchanged."""
    name = first_text(tag_event.event, ("event_name",)) or ""
    return _conversion(tag_event.event, name, tag_event.visitor, None)


def click_of(events: Iterable[Event], visitor: Visitor) -> Click | None:
    """Return the newest click in the request's page URLs and the browser's cookies.

    The URL of a page keeps its click while the page is open. So if a hit is not the first of its
    page (GA4 counts them), the click in the URL may be older than the cookies' clicks.
    """
    seen = (
        read_click(found, 0 if _is_later(event) else visitor.now)
        for event in events
        if (found := click_id_of_url(first_text(event, _PAGES) or "")) is not None
    )
    landed = [click for click in seen if click is not None]
    return newest_of(landed, clicks_of(visitor.cookies, now=visitor.now))


def _is_later(event: Event) -> bool:
    count = first_text(event, ("x-ga-request_count",))
    return count is not None and count != "1"


def _named(
    event: Event, *, source: Source, known: Iterable[str], visitor: Visitor
) -> str | Ignored:
    name = first_text(event, ("event_name",)) or ""
    if (first_text(event, _PAGES) or "").startswith(PREVIEW_PAGE):
        return ignored_as(name, "preview")
    standard = first_text(event, (STANDARD,))
    found = our_name(name, chosen=source.events, known=known, standard=standard)
    # X does not get ignored events, but tags may fire for them, with the same data.
    for_nobody = isinstance(found, Ignored) and found.reason not in UNKNOWN_TO_X
    if for_nobody:
        return found
    agent = None if visitor.trusted else visitor.user_agent
    if agent is not None and is_robot(agent):
        return ignored_as(name, "bot")
    if visitor.value_limit is not None and worth_more(event, visitor.value_limit):
        return ignored_as(name, "value_limit")
    return found


def _conversion(event: Event, name: str, visitor: Visitor, pixel: str | None) -> Native:
    items = items_of(event)
    value, money = worth_of(event, items)
    page = first_text(event, _PAGES) or visitor.referer
    consent = signals_of(event, opted_out=visitor.opted_out)
    if visitor.consent:
        consent = strictest(visitor.consent, consent)
    return Native(
        event=name,
        conversion_id=first_text(event, _IDS),
        time=_time(event),
        value=value,
        currency=money,
        email=_hexadecimal(first_text(event, EMAILS)),
        phone=_hexadecimal(first_text(event, PHONES)),
        twclid=_click(event, page, visitor),
        ip=first_text(event, _ADDRESSES) if visitor.trusted else visitor.ip,
        user_agent=first_text(event, _AGENTS) if visitor.trusted else visitor.user_agent,
        url=page,
        contents=[content_of(item) for item in items] or None,
        description=first_text(event, ("description",)),
        search=first_text(event, _SEARCHES),
        consent=consent or None,
        twpid=first_text(event, (BROWSER_ID,)) or visitor.cookies.get(BROWSER_ID),
        pixel=pixel,
        user_id=first_text(event, _USERS),
        visitor_id=first_text(event, _VISITORS),
        **rule_fields_in(event),
    )


def _time(event: Event) -> str | None:
    """Return the event's own time; a Unix time is converted to ISO 8601."""
    stated = first_text(event, _TIMES)
    if stated is None or not _STAMP.fullmatch(stated):
        return stated
    at = int(stated.ljust(13, "0")[:13])
    return spelled(at) if at <= LATEST else stated


def _click(event: Event, page: str | None, visitor: Visitor) -> str | None:
    """Return the click id from the page's URL, else from a field, a cookie or the referrer.

    An unusable field is passed on: the native format leaves it out with a note.
    """
    landed = click_id_of_url(page) if page else None
    if landed is not None:
        return landed
    fields = [text for place in _CLICKS if (text := first_text(event, (place,))) is not None]
    given = next((click for text in fields if (click := read_click(text)) is not None), None)
    known = given or newest(clicks_of(visitor.cookies, now=visitor.now))
    if known is not None:
        return in_full(known)
    before = first_text(event, ("page_referrer", "pageReferrer"))
    return (click_id_of_url(before) if before else None) or next(iter(fields), None)
