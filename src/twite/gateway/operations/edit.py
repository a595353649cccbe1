"""Edit a dead letter (event, amount, fields); decide whether X may count a replay twice.

An edit never changes the conversion id.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.cause import MAYBE_SENT, DeliveryCause
from twite.domain.conversion import LEAST_WINDOW, amount, currency
from twite.domain.delivery import AMBIGUITY_WINDOW
from twite.domain.fault import Fault
from twite.domain.history import History
from twite.domain.secret import Masked
from twite.domain.times import spelled
from twite.gateway.ports.tags import PREFIX

# Fields that may be dropped, and the keys of X's body each one removes.
DROPPABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "value": ("value", "price_currency"),
    "number_items": ("number_items",),
    "contents": ("contents",),
    "description": ("description",),
    "search_string": ("search_string",),
    "event_source_url": ("event_source_url",),
    "hashed_email": ("hashed_email",),
    "hashed_phone_number": ("hashed_phone_number",),
    "twclid": ("twclid",),
    "twpid": ("twpid",),
    "IP and user agent": ("ip_address", "user_agent"),
}
DIVISORS: Final = (10, 100, 1_000)
_STRONG: Final = ("twclid", "hashed_email", "hashed_phone_number")


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to dead letters.

    None and empty values change nothing. `event` is X's event id; with `today`, each conversion
    gets the id that the current settings map its name to. `value` replaces the amount, `divide`
    divides it; `drop` are keys of DROPPABLE.
    """

    event: str | None = None
    today: bool = False
    currency: str | None = None
    value: str | None = None
    divide: int | None = None
    drop: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        return self != Edit()

    @property
    def sentence(self) -> str:
        """The changes in words, for the audit log."""
        changes = []
        if self.today:
            changes.append("event as currently mapped")
        elif self.event is not None:
            changes.append(f"event {self.event}")
        if self.value is not None:
            changes.append(f"value {self.value}")
        if self.divide is not None:
            changes.append(f"value divided by {self.divide}")
        if self.currency is not None:
            changes.append(f"currency {self.currency}")
        changes += [f"without {name}" for name in self.drop]
        return ", ".join(changes)


class EditResult(Masked, frozen=True, kw_only=True):
    """An edited conversion, or the `fault` that prevents sending it."""

    in_repr = ("event", "fault")
    event: str
    body: bytes
    fault: str | None = None


def apply_edit(history: History, edit: Edit) -> EditResult:
    """Apply an edit to the body sent to X."""
    if not history.sent:
        return EditResult(
            event=history.event, body=b"", fault="the conversion's body is no longer stored"
        )
    if not edit.changes:
        return EditResult(event=history.event, body=history.sent)
    sent = msgspec.json.decode(history.sent, type=dict[str, object])
    event = edit.event or history.event
    if edit.event is not None:
        _put_event(sent, event)
    for name in edit.drop:
        _drop(sent, DROPPABLE.get(name, ()))
    fault = _change_amount(sent, edit) or _missing_identifiers(sent)
    return EditResult(event=event, body=msgspec.json.encode(sent), fault=fault)


def doubt(
    history: History, *, now: int, changed: bool = False, is_cautious: bool = False
) -> str | None:
    """Return why X could count a resent conversion twice; None if it could not.

    Within 40 hours of the first ambiguous attempt, X drops the same body under the same id as a
    duplicate. Another copy that was sent, or may still be sent, is always a reason. `changed` is
    whether the new body differs. With `is_cautious`, ambiguous deliveries to this destination are
    resent only if a user decides so.
    """
    if history.rival is not None:
        return (
            f"delivery {history.rival.delivery} has the same conversion id and is "
            f"{history.rival.state}"
        )
    first = _ambiguous_since(history)
    is_held_for_it = history.cause is DeliveryCause.MAY_COUNT_TWICE
    if first is None and not is_held_for_it:
        return None
    is_tags = history.pixel.startswith(PREFIX)
    whose = "the tag's vendor" if is_tags else "X"
    since = "" if first is None else f" since {spelled(first)[:16].replace('T', ' ')}"
    had = f"{whose} may already have this conversion{since}"
    in_time = first is not None and now - first < AMBIGUITY_WINDOW
    if in_time and changed:
        return f"{whose} may already have this conversion, and the new body differs"
    # A cautious tag's vendor does not promise to drop duplicates.
    if (in_time and (is_cautious or is_held_for_it)) or (is_cautious and is_tags):
        return f"{had}, and Twite repeats the request only if you confirm"
    if in_time:
        return None
    return f"{had}; after 40 hours, {whose} may not drop a duplicate"


def late_after_pixel(seen_at: int | None, *, now: int) -> str | None:
    """Return why X counts a conversion twice that a page sent to its pixel at a time, if it does.

    X drops the second of two copies that it receives within 48 hours [doc WEB].
    """
    if seen_at is None or now - seen_at < LEAST_WINDOW:
        return None
    at = spelled(seen_at)[:16].replace("T", " ")
    return f"the page sent it to X's pixel at {at}, and X drops a second copy only within 48 hours"


def _ambiguous_since(history: History) -> int | None:
    """Return the time of the first ambiguous attempt; None if there was none."""
    known = [attempt.at for attempt in history.attempts if attempt.ambiguous]
    if history.ambiguous_since is not None:
        known.append(history.ambiguous_since)
    if not known and history.cause in MAYBE_SENT:
        # No attempt is recorded, but the first one cannot be earlier than the receipt.
        return history.received_at
    return min(known, default=None)


def _put_event(sent: dict[str, object], event: str) -> None:
    """Replace the event id or name; put the new one at its usual position."""
    named = event.startswith("gtm_")
    for name in ("event_id", "event_name"):
        sent.pop(name, None)
    rest = dict(sent)
    sent.clear()
    for name, value in rest.items():
        sent[name] = value
        if name == "conversion_time":
            sent["event_name" if named else "event_id"] = event


def _drop(sent: dict[str, object], names: tuple[str, ...]) -> None:
    for name in names:
        sent.pop(name, None)
    elements = sent.get("identifiers")
    if isinstance(elements, list):
        left = [
            {key: value for key, value in element.items() if key not in names}
            for element in elements
            if isinstance(element, dict)
        ]
        # An IP address alone is not enough to match.
        sent["identifiers"] = [element for element in left if _enough(element)]


def _change_amount(sent: dict[str, object], edit: Edit) -> str | None:
    """Change the amount and its currency; return the fault of a new value, if any."""
    if edit.value is not None:
        read = amount(edit.value, path="value")
        if isinstance(read, Fault):
            return read.message
        sent["value"] = read
    if edit.divide is not None and edit.divide in DIVISORS:
        present = sent.get("value")
        if not isinstance(present, str):
            return "the conversion has no value to divide"
        sent["value"] = _divided(present, edit.divide)
    if edit.currency is not None:
        money = currency(edit.currency, path="price_currency")
        if isinstance(money, Fault):
            return money.message
        sent["price_currency"] = money
    if "value" in sent and "price_currency" not in sent:
        return "a value needs a currency"
    return None


def _divided(value: str, divisor: int) -> str:
    """Divide by moving the decimal point, without floats."""
    whole, _, decimals = value.partition(".")
    places = len(str(divisor)) - 1
    digits = whole.rjust(places + 1, "0")
    moved = f"{digits[:-places]}.{digits[-places:]}{decimals}"
    read = amount(moved, path="value")
    return moved if isinstance(read, Fault) else read


def _missing_identifiers(sent: dict[str, object]) -> str | None:
    """Return a fault unless each element of `identifiers` is enough for a match. [seen SW]"""
    elements = sent.get("identifiers")
    enough = isinstance(elements, list) and elements and all(map(_enough, elements))
    return None if enough else "the edit would leave no match key"


def _enough(element: Mapping[str, object]) -> bool:
    pair = "ip_address" in element and "user_agent" in element
    return pair or any(name in element for name in _STRONG)
