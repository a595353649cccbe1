"""The result of reading a request: conversions in the native shape, and tag events."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.fault import Fault
from twite.domain.secret import Masked
from twite.domain.submission import Ignored
from twite.formats.page_visit import SERVER, Visitor

# Replaces an unreadable consent signal: consent rules treat it as a possible denial.
UNREADABLE: Final = "unreadable"
NO_AMOUNT_GIVEN: Final = msgspec.Raw(b"null")


class NativeContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    id: str | int | None = None
    name: str | None = None
    price: msgspec.Raw = msgspec.Raw(b"null")
    quantity: int | None = None
    group: str | int | None = None
    type: str | None = None


class Native(Masked, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One conversion as submitted. It holds personal data: its repr is masked.

    `user_id` and `visitor_id` lead to other events of the same visitor. They are never stored.
    `tax` and `shipping` are parts of the value, and `new_customer` whether it is the first order:
    they are only for value rules, and never sent to X.
    """

    event: str | None = None
    conversion_id: str | int | None = None
    time: str | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    currency: str | None = None
    email: str | None = None
    email_sha256: str | None = None
    phone: str | None = None
    phone_sha256: str | None = None
    twclid: str | None = None
    twpid: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    url: str | None = None
    contents: list[NativeContent] | None = None
    description: str | None = None
    search: str | None = None
    consent: dict[str, str | bool] | None = None
    pixel: str | None = None
    user_id: str | int | None = None
    visitor_id: str | int | None = None
    tax: msgspec.Raw = NO_AMOUNT_GIVEN
    shipping: msgspec.Raw = NO_AMOUNT_GIVEN
    new_customer: bool | int | str | None = None


class Many(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    conversions: list[Native]


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    conversions: list[msgspec.Raw]


Event = Mapping[str, object]


class TagEvent(Masked, frozen=True, kw_only=True):
    """An event for tags. It holds personal data: its repr is masked.

    `event` is common event data that `visitor` sent. `conversion` is its index among the
    conversions, None if the event is not a conversion; for `repeated`, see ParsedRequest.
    """

    event: Event
    visitor: Visitor = SERVER
    conversion: int | None = None
    repeated: str | None = None


class ParsedRequest(Masked, frozen=True, kw_only=True):
    """The content of a request.

    `conversions` use the event names of the source's pixel; their `consent` has every raw signal of
    the request, by name. `hit` is the scrubbed request as JSON, which is stored so that users can
    see how it was read. `repeated` has, for each conversion without an id, the fields that its
    client repeats on a retry, such as `GA4 <page> <count>`; None if a retry repeats only the
    conversion itself. `tag_events` lists the events for which tags may fire, whether or not they
    are sent to X. `faults` is empty, or has for each conversion the faults that the native rules do
    not find. `unwanted` contains ignored conversions with consent signals, by their place in
    `ignored`, because a denial applies to all copies of a conversion. It holds personal data: its
    repr is masked.
    """

    conversions: tuple[Native, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    hit: msgspec.Raw | None = None
    repeated: tuple[str | None, ...] = ()
    tag_events: tuple[TagEvent, ...] = ()
    faults: tuple[tuple[Fault, ...], ...] = ()
    unwanted: tuple[tuple[int, Native], ...] = ()
