"""One call of Segment's API as call_context event data.

| event data | Segment's call |
|---|---|
| `event_name` | `event` of a track, else the type of the call |
| `conversion_id` | `properties.order_id`, `checkout_id`, `conversionId`; else `messageId` |
| `value` | `properties.total`, `value`, `revenue` |
| `items` | `properties.products`, or the product that the properties describe |
| `conversion_time` | `timestamp`, corrected by `sentAt` |
| `user_data` | `properties`, an identify's `traits`, `context.traits`, the identified person |
| `page_location`, `twclid` | `context.page.url`; `properties.twclid`, `context.page.search`, … |
| `ip_override`, `user_agent` | `context.ip`, `context.userAgent` |

Other properties keep their names. [doc SG]
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from twite.domain.normalize import click_id_of_url
from twite.domain.secret import Masked
from twite.domain.times import DAY, LATEST, moment, spelled
from twite.formats.event_data.consent import merged
from twite.formats.event_data.conversions import EMAILS, PHONES, STANDARD
from twite.formats.event_data.values import NULL, amount_at, first_text, text_of
from twite.formats.native.values import amount_in
from twite.formats.parsed_request import Event
from twite.formats.segment.consent import is_denied, signals_of_call
from twite.formats.segment.persons import IdentifiedPerson, PersonIndex
from twite.formats.strict_json import wrong_shape

# Segment's names for the events of X's pixel: version 2 of its e-commerce specification, and
# names of its B2B specification [guess]. Each name stands for all names of the same meaning.
STANDARD_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "order completed": "purchase",
        "completed order": "purchase",  # version 1
        "product added": "add_to_cart",
        "checkout started": "checkout_initiated",
        "payment info entered": "add_payment_info",
        "product added to wishlist": "add_to_wishlist",
        "product viewed": "content_view",
        "products searched": "search",
        "signed up": "sign_up",
        "trial started": "start_trial",
        "subscription started": "subscribe",
    }
)
# The order decides whether the id equals the pixel's; see docs/decisions.
_IDS: Final = ("order_id", "checkout_id", "conversionId")
_VALUES: Final = ("total", "value", "revenue")
_PRODUCT: Final = (
    "product_id", "sku", "name", "brand", "category", "variant", "coupon", "price", "quantity",
    "currency",
)  # fmt: skip
# The oldest event that a page may report: older times come from a wrong clock.
LONGEST_WAIT: Final = 7 * DAY
LEFT_OUT: Final = "left_out"
_NOTHING: Final[Event] = MappingProxyType({})


class CallContext(Masked, frozen=True, kw_only=True):
    """What applies to all calls of a request.

    `context`, `integrations` and `sent_at` are the batch's own; `named` are the source's categories
    of advertising. `now` is in milliseconds; `from_page` is whether a browser sent the request.
    """

    named: tuple[str, ...] = ()
    now: int = 0
    from_page: bool = False
    context: Event = _NOTHING
    integrations: Event | None = None
    sent_at: str | None = None


def table_in(call: Event, name: str) -> Event:
    """Return an object in a call; {} if it is missing. Raises MalformedRequest."""
    given = call.get(name)
    if given is None:
        return _NOTHING
    if not isinstance(given, Mapping):
        raise wrong_shape(name, f"{name} must be an object")
    return given


def identified(call: Event, call_context: CallContext) -> IdentifiedPerson | None:
    """Return the person of an `identify`; None if the person denied consent."""
    context = _inner(call, "context")
    if is_denied(_signals(call, context, call_context)):
        return None
    traits = (_inner(call, "traits"), _inner(context, "traits"))
    return IdentifiedPerson(
        user_id=text_of(call.get("userId")) or None,
        anonymous_id=text_of(call.get("anonymousId")) or None,
        email=_first("email", traits),
        phone=_first("phone", traits),
    )


def event_of(
    call: Event,
    name: str,
    call_context: CallContext,
    persons: PersonIndex,
    *,
    is_identify: bool = False,
) -> dict[str, object]:
    """Return the event data of a call. `persons` are those of the request.

    Only the traits of an `identify` are the person's: those of a `group` are a company's.

    Raises MalformedRequest.
    """
    context = {**call_context.context, **table_in(call, "context")}
    properties = table_in(call, "properties")
    page, campaign = _inner(context, "page"), _inner(context, "campaign")
    user = text_of(call.get("userId")) or None
    anonymous = text_of(call.get("anonymousId")) or None
    traits = _inner(call, "traits") if is_identify else _NOTHING
    said = (properties, traits, _inner(context, "traits"))
    email, phone = persons.found(user, anonymous)
    person = {
        "email_address": _first("email", said) or email,
        "phone_number": _first("phone", said) or phone,
    }
    searched = click_id_of_url(text_of(page.get("search")) or "")
    items, left_out = _items(properties)
    own = {
        "event_name": name,
        STANDARD: STANDARD_NAMES.get(name.strip().lower()),
        "conversion_id": first_text(properties, _IDS) or text_of(call.get("messageId")),
        "conversion_time": _time(call, call_context),
        "value": next(
            (properties[key] for key in _VALUES if amount_at(properties, (key,)) != NULL), None
        ),
        "items": items or None,
        "search_term": properties.get("search_term") or properties.get("query"),
        "user_data": {key: text for key, text in person.items() if text} or None,
        "page_location": text_of(page.get("url")) or None,
        "page_referrer": text_of(page.get("referrer")) or None,
        "page_title": text_of(page.get("title")) or None,
        "twclid": first_text(properties, ("twclid",)) or searched or campaign.get("twclid"),
        "ip_override": context.get("ip"),
        "user_agent": context.get("userAgent"),
        "user_id": user,
        "client_id": anonymous,
        "consent_state": _signals(call, table_in(call, "context"), call_context) or None,
        LEFT_OUT: left_out,
    }
    return merged(properties, {key: value for key, value in own.items() if value is not None})


def without_properties_person(event: Event) -> dict[str, object]:
    """Return the event without the emails and phones of its properties.

    Those of a track that is no conversion, such as "Friend Invited", may be another person's.
    """
    person = event.get("user_data")
    of_traits = dict(person) if isinstance(person, Mapping) else {}
    for name, key in (("email", "email_address"), ("phone", "phone_number")):
        if first_text(event, (name,)):
            of_traits.pop(key, None)
    places = {*EMAILS, *PHONES}
    kept = {key: value for key, value in event.items() if key not in places}
    return kept | {"user_data": of_traits}


def without_items(event: Mapping[str, object]) -> dict[str, object]:
    """Return the event without its items, and with a note."""
    kept = {key: held for key, held in event.items() if key not in {"items", "contents"}}
    kept.pop("ecommerce", None)
    return {**kept, LEFT_OUT: "products"}


def _signals(call: Event, context: Event, call_context: CallContext) -> dict[str, str | bool]:
    integrations: object = call.get("integrations")
    if isinstance(integrations, Mapping) and call_context.integrations:
        integrations = {**call_context.integrations, **integrations}
    if integrations is None:
        integrations = call_context.integrations
    contexts = [each for each in (call_context.context, context) if each]
    return signals_of_call(contexts, integrations, named=call_context.named)


def _inner(table: Event, name: str) -> Event:
    """Return an object that no conversion depends on; {} if it is none."""
    found = table.get(name)
    return found if isinstance(found, Mapping) else _NOTHING


def _first(name: str, tables: Iterable[Event]) -> str | None:
    return next((text for table in tables if (text := first_text(table, (name,)))), None)


def _time(call: Event, call_context: CallContext) -> str | None:
    """Return now - (sentAt - timestamp), because the client's clock may be wrong. [doc SG]"""
    stated = first_text(call, ("originalTimestamp", "timestamp"))
    if stated is None:
        return None
    at = _moment(stated)
    sent = _moment(text_of(call.get("sentAt")) or call_context.sent_at or "")
    if at is None or sent is None:
        return None if call_context.from_page else stated
    corrected = min(call_context.now - (sent - at), call_context.now)
    if call_context.from_page and corrected < call_context.now - LONGEST_WAIT:
        corrected = call_context.now
    return spelled(corrected)


def _moment(text: str) -> int | None:
    found = moment(text, now=LATEST - DAY, path="")
    return found if isinstance(found, int) else None


def _items(properties: Event) -> tuple[list[dict[str, object]], str | None]:
    """Return the items, and the paths of unreadable prices, which are left out."""
    listed = properties.get("products")
    if isinstance(listed, list):
        products = [product for product in listed if isinstance(product, Mapping)]
        paths = [f"products[{place}].price" for place in range(len(products))]
    elif "items" not in properties and first_text(properties, ("product_id", "sku")):
        products, paths = [{key: properties.get(key) for key in _PRODUCT}], ["price"]
    else:
        return [], None
    left_out = []
    items = []
    for product, path in zip(products, paths, strict=True):
        item = dict(product)
        if not isinstance(amount_in(amount_at(product, ("price",)), path=path), str | None):
            left_out.append(path)
            del item["price"]
        item["item_id"] = first_text(product, ("product_id", "sku"))
        item["item_name"] = product.get("name")
        item["item_category"] = product.get("category")
        items.append({key: value for key, value in item.items() if value is not None})
    return items, ", ".join(left_out) or None
