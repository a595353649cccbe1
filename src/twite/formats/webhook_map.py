"""Mappings: the conversions of a message by JMESPath expressions of the settings.

`[[webhook]]` of the kinds `standard` and `generic`, and their presets:

    map = { conversion_id = "data.order.id", value = "data.total", currency = "data.currency" }

An expression that fails, or yields a list or an object where a text is needed, is a fault of its
conversion alone.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Final, TypeVar

import msgspec

from twite.domain.conversion import DECIMALS, amount
from twite.domain.fault import Fault, fault
from twite.domain.normalize import PLACEHOLDERS
from twite.domain.submission import Ignored
from twite.domain.times import LATEST, SECOND, spelled
from twite.formats.event_data.values import MAX_ITEMS, NO_AMOUNT, NULL, text_of
from twite.formats.expressions import (
    Expression,
    ExpressionFailed,
    ExpressionRefused,
    compiled,
    exact_json,
    is_true,
    kind_of,
)
from twite.formats.native.read import MAX_CONVERSIONS
from twite.formats.native.values import yes_or_no
from twite.formats.parsed_request import UNREADABLE, Native, NativeContent, ParsedRequest
from twite.formats.strict_json import refuse_more, wrong_shape
from twite.formats.webhook_kind import (
    IgnoredReason,
    IncomingWebhook,
    OptionFault,
    WebhookReading,
    consent_signals,
    option,
    shown_name,
)

# What a message may say of a conversion: the native format, without what the settings say.
FIELDS: Final = tuple(name for name in Native.__struct_fields__ if name not in {"event", "pixel"})
_NOT_TEXTS: Final = frozenset(
    {"conversion_id", "time", "value", "contents", "consent", "tax", "shipping", "new_customer"}
)
# A Unix time in seconds has ten digits until the year 2286, one in milliseconds has thirteen.
_UNIX_TIME: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?", re.ASCII)
_LEAST_MS: Final = 100_000_000_000
_MOST_DIGITS: Final = 15
_NO_AMOUNT: Final = PLACEHOLDERS - {"0"}
_REASONS: Final = tuple(reason.value for reason in IgnoredReason)


class MappedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a `[[webhook]]` whose conversions are read by expressions."""

    map: Annotated[
        Mapping[str, str],
        option(
            "for each field of a conversion, a JMESPath expression that finds it in the message"
        ),
    ] = {}
    when: Annotated[
        str | None,
        option("an expression that is true for messages with a conversion; others are ignored"),
    ] = None
    ignore: Annotated[
        Mapping[str, str],
        option("by reason, an expression that is true for messages to ignore"),
    ] = {}
    each: Annotated[
        str | None,
        option("an expression that lists the conversions, if a message may contain several"),
    ] = None
    message: Annotated[
        str, option("an expression that finds the name of a message, for counts and the console")
    ] = "type"
    minor_units: Annotated[
        bool, option("whether amounts are whole numbers in minor units, such as cents")
    ] = False


MappedT = TypeVar("MappedT", bound=MappedOptions)


def check_map(options: MappedOptions) -> Iterator[OptionFault]:
    """Yield what is wrong with the expressions."""
    for name, text in options.map.items():
        if name in FIELDS:
            yield from _expression_faults(f"map.{name}", text)
        else:
            yield OptionFault(key=f"map.{name}", message=_unknown(name, FIELDS))
    if "conversion_id" not in options.map:
        # A derived id would differ if the sender changes the message, and from the pixel's.
        yield OptionFault(
            key="map.conversion_id",
            message='is missing. Write where the id is, such as "data.order.id"; the pixel must '
            "send the same",
        )
    for name, text in options.ignore.items():
        if name in _REASONS:
            yield from _expression_faults(f"ignore.{name}", text)
        else:
            yield OptionFault(key=f"ignore.{name}", message=_unknown(name, _REASONS))
    for name, given in (("when", options.when), ("each", options.each)):
        if given is not None:
            yield from _expression_faults(name, given)
    yield from _expression_faults("message", options.message)


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return "unknown key. " + (
        f"Did you mean {near[0]!r}?" if near else f"Available: {', '.join(known)}"
    )


def _expression_faults(key: str, text: str) -> Iterator[OptionFault]:
    try:
        compiled(text)
    except ExpressionRefused as refused:
        yield OptionFault(key=key, message=str(refused))


def read_mapped(body: bytes, webhook: IncomingWebhook[MappedT]) -> WebhookReading:
    """Read a genuine message. Raises MalformedRequest if it is not JSON."""
    options = webhook.options
    message = exact_json(body)
    items = _items(message, options)
    refuse_more(len(items), MAX_CONVERSIONS, "conversions", path="")
    conversions: list[Native] = []
    faults: list[tuple[Fault, ...]] = []
    ignored: list[Ignored] = []
    for item in items:
        try:
            reason = _reason(item, options)
        except ExpressionFailed as failed:
            conversions.append(Native(event=webhook.event))
            faults.append((fault("", "wrong_type", str(failed)),))
            continue
        if reason is not None:
            ignored.append(Ignored(name=_name(item, options), reason=reason))
            continue
        native, wrong = _conversion(item, webhook)
        conversions.append(native)
        faults.append(wrong)
    name = _name(items[0] if items else message, options)
    if not items:
        ignored.append(Ignored(name=name, reason=IgnoredReason.NO_DATA))
    return WebhookReading(
        name=name,
        parsed=ParsedRequest(
            conversions=tuple(conversions), faults=tuple(faults), ignored=tuple(ignored)
        ),
    )


def _items(message: object, options: MappedOptions) -> list[object]:
    if options.each is None:
        return [message]
    try:
        found = compiled(options.each).of(message)
    except ExpressionFailed as failed:
        raise wrong_shape("", f"each: {failed}") from None
    if found is None:
        return []
    if not isinstance(found, list):
        raise wrong_shape("", f"each yields {kind_of(found)}. Write an expression for a list")
    return found


def _reason(item: object, options: MappedOptions) -> IgnoredReason | None:
    """Return why an item is no conversion, or None. Raises ExpressionFailed."""
    for name, text in options.ignore.items():
        if _is_true(f"ignore.{name}", text, item):
            return IgnoredReason(name)
    if options.when is not None and not _is_true("when", options.when, item):
        return IgnoredReason.OTHER_MESSAGE
    return None


def _is_true(key: str, text: str, item: object) -> bool:
    """Return whether an expression is true, as JMESPath defines it."""
    try:
        found = compiled(text).of(item)
    except ExpressionFailed as failed:
        raise ExpressionFailed(f"{key}: {failed}") from None
    return is_true(found)


def _name(item: object, options: MappedOptions) -> str:
    try:
        found = compiled(options.message).of(item)
    except ExpressionFailed:
        found = None
    return shown_name(found if isinstance(found, str) else "")


def _conversion(
    item: object, webhook: IncomingWebhook[MappedT]
) -> tuple[Native, tuple[Fault, ...]]:
    reader = _ItemReader(item, webhook.options)
    consent = reader.consent()
    currency = reader.text("currency")
    native = Native(
        event=webhook.event,
        conversion_id=reader.identity(),
        time=reader.time(),
        value=reader.value(currency),
        contents=reader.contents(currency),
        consent=consent,
        currency=currency,
        tax=reader.part("tax", currency),
        shipping=reader.part("shipping", currency),
        new_customer=yes_or_no(reader.found("new_customer")),
        **{
            name: reader.text(name)
            for name in webhook.options.map
            if name not in _NOT_TEXTS and name != "currency"
        },
    )
    return native, tuple(reader.faults)


class _ItemReader:
    """Reads the fields of one conversion, and notes the faults."""

    def __init__(self, item: object, options: MappedOptions) -> None:
        self._item = item
        self._decimals = options.minor_units
        self._map: dict[str, Expression] = {}
        for name, text in options.map.items():
            expression = compiled(text)
            # In a preset, the literal null leaves a field out.
            if not expression.is_null:
                self._map[name] = expression
        self.faults: list[Fault] = []

    def found(self, name: str) -> object:
        expression = self._map.get(name)
        if expression is None:
            return None
        try:
            return expression.of(self._item)
        except ExpressionFailed as failed:
            self.faults.append(fault(name, "wrong_type", f"the expression fails: {failed}"))
            return None

    def text(self, name: str) -> str | None:
        return self._as_text(name, self.found(name))

    def _as_text(self, name: str, found: object) -> str | None:
        if found is None:
            return None
        if isinstance(found, bool | list | dict):
            message = f"the expression yields {kind_of(found)}. Write one that yields a text"
            if isinstance(found, list):
                message += ", such as with | [0]"
            self.faults.append(fault(name, "wrong_type", message))
            return None
        return plain_text(found, nothing=_NO_AMOUNT if name == "value" else PLACEHOLDERS)

    def identity(self) -> str | None:
        seen = len(self.faults)
        found = self.text("conversion_id")
        if found is None and len(self.faults) == seen:
            self.faults.append(
                fault("conversion_id", "wrong_type", "the message has no id where map says")
            )
        return found

    def time(self) -> str | None:
        """Return the time. A number is a Unix time, in seconds or milliseconds."""
        found = self.text("time")
        if found is None or not _UNIX_TIME.fullmatch(found):
            return found
        number = Decimal(found)
        ms = int(number if number >= _LEAST_MS else number * SECOND)
        return spelled(ms) if ms <= LATEST else found

    def value(self, currency: str | None) -> msgspec.Raw:
        if "value" not in self._map:
            return NULL
        seen = len(self.faults)
        text = self.text("value")
        if len(self.faults) > seen:
            return NULL
        if text is None:
            self.faults.append(fault("value", "not_an_amount", "the message has no amount"))
            return NULL
        return self._amount(text, currency)

    def part(self, name: str, currency: str | None) -> msgspec.Raw:
        """Return an amount that only value rules read. An unreadable one is left out."""
        text = plain_text(self.found(name), nothing=_NO_AMOUNT)
        return NULL if text is None else self._price(text, currency)

    def _amount(self, text: str, currency: str | None) -> msgspec.Raw:
        if self._decimals:
            if not (text.isascii() and text.removeprefix("-").isdecimal()):
                return NO_AMOUNT  # the native format refuses it
            places = DECIMALS.get((currency or "").strip().upper(), 2)
            text = format(Decimal(text).scaleb(-places), "f")
        return msgspec.Raw(msgspec.json.encode(text))

    def contents(self, currency: str | None) -> list[NativeContent] | None:
        found = self.found("contents")
        if found is None:
            return None
        given = found if isinstance(found, list) else [found]
        lines = [line for line in given if isinstance(line, Mapping)]
        if len(lines) != len(given):
            message = "the expression yields no objects. Write one such as items[].{id: sku}"
            self.faults.append(fault("contents", "wrong_type", message))
            return None
        return [self._content(line, currency) for line in lines[:MAX_ITEMS]] or None

    def _content(self, line: Mapping[str, object], currency: str | None) -> NativeContent:
        """Return a line. What cannot be read is left out: the order counts without it."""
        price = plain_text(line.get("price"), nothing=_NO_AMOUNT)
        quantity = plain_text(line.get("quantity")) or ""
        is_count = quantity.isascii() and quantity.isdecimal() and len(quantity) < _MOST_DIGITS
        return NativeContent(
            id=plain_text(line.get("id")),
            name=plain_text(line.get("name")),
            price=NULL if price is None else self._price(price, currency),
            quantity=(int(quantity) or None) if is_count else None,
            group=plain_text(line.get("group")),
            type=plain_text(line.get("type")),
        )

    def _price(self, text: str, currency: str | None) -> msgspec.Raw:
        found = self._amount(text, currency)
        if found is NO_AMOUNT or isinstance(amount(text, path="price"), Fault):
            return NULL
        return found

    def consent(self) -> dict[str, str | bool] | None:
        """Return the signals. Whatever cannot be read may be a denial."""
        expression = self._map.get("consent")
        if expression is None:
            return None
        try:
            return _signals(expression.of(self._item))
        except ExpressionFailed:
            return {"ad_storage": UNREADABLE}


def _signals(found: object) -> dict[str, str | bool] | None:
    if isinstance(found, bool):
        return consent_signals("granted" if found else "denied")
    if isinstance(found, str):
        return consent_signals(found)
    if isinstance(found, Mapping) and found:
        return {
            str(name): state if isinstance(state, str | bool) else UNREADABLE
            for name, state in found.items()
        }
    return None if found is None else {"ad_storage": UNREADABLE}


def plain_text(found: object, *, nothing: Collection[str] = PLACEHOLDERS) -> str | None:
    """Return a text or a number as a text; None for others, and for texts such as `null`."""
    if isinstance(found, Decimal):
        return format(found, "f")
    text = None if isinstance(found, list) else text_of(found)
    return None if text is None or text.lower() in nothing else text
