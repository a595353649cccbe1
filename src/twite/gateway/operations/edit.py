"""What a person may change in a conversion that X refused, and what may go again at all.

Pure. A conversion keeps its conversion id, whatever else becomes of it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.delivery import AMBIGUITY_WINDOW, MAYBE_ARRIVED, MAYBE_SENT
from twite.domain.fault import Fault
from twite.domain.history import History
from twite.domain.money import amount, currency
from twite.domain.times import spelled
from twite.gateway.ports.tags import PREFIX

# What may be left out, and what goes with it.
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
    """A change. What is None or empty stays as it is.

    `event` is X's id, or with `today` the one that the settings map the conversion's name to now
    (see remap): then each has its own. `value` is an amount to put in its place, `divide` what to
    divide it by; `drop` are keys of DROPPABLE.
    """

    event: str | None = None
    today: bool = False
    currency: str | None = None
    value: str | None = None
    divide: int | None = None
    drop: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is changed."""
        return self != Edit()

    @property
    def sentence(self) -> str:
        """What is changed, for the audit."""
        said = []
        if self.today:
            said.append("its event as it is mapped today")
        elif self.event is not None:
            said.append(f"event {self.event}")
        if self.value is not None:
            said.append(f"value {self.value}")
        if self.divide is not None:
            said.append(f"value divided by {self.divide}")
        if self.currency is not None:
            said.append(f"currency {self.currency}")
        said += [f"without {name}" for name in self.drop]
        return ", ".join(said)


class EditResult(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion as it would go out; or why it cannot."""

    event: str
    body: bytes
    fault: str | None = None

    def __repr__(self) -> str:
        return f"Mended({self.event}, {self.fault})"


def mended(life: History, mend: Edit) -> EditResult:
    """Change a conversion as X is sent it."""
    if not life.sent:
        return EditResult(event=life.event, body=b"", fault="its body is not kept any more")
    if not mend.changes:
        return EditResult(event=life.event, body=life.sent)
    sent = msgspec.json.decode(life.sent, type=dict[str, object])
    event = mend.event or life.event
    if mend.event is not None:
        _put_event(sent, event)
    for name in mend.drop:
        _drop(sent, DROPPABLE.get(name, ()))
    fault = _worth(sent, mend) or _matches(sent)
    return EditResult(event=event, body=msgspec.json.encode(sent), fault=fault)


def doubt(
    life: History, *, now: int, changed: bool = False, is_cautious: bool = False
) -> str | None:
    """Say why sending it again could count it twice; None where it cannot.

    Within 40 hours of when X may first have had it, the same body under the same id is the twin
    that X drops. Another copy of the conversion that was sent, or may yet be, is always a doubt.
    `changed`: it would go with another body. `is_cautious`: where it goes, nothing is
    repeated without a person; so it is, too, where it is held for that alone.
    """
    if life.rival is not None:
        return (
            f"another copy of it, delivery {life.rival.delivery}, is {life.rival.state} under the "
            "same conversion id"
        )
    first = _maybe_there_since(life)
    is_held_for_it = (life.reason or "").startswith(MAYBE_ARRIVED)
    if first is None and not is_held_for_it:
        return None
    is_tags = life.pixel.startswith(PREFIX)
    whose = "its vendor" if is_tags else "X"
    since = "" if first is None else f" since {spelled(first)[:16].replace('T', ' ')}"
    in_time = first is not None and now - first < AMBIGUITY_WINDOW
    if in_time and changed:
        return f"{whose} may have it already, and it would go with another body"
    # That a cautious tag's vendor drops a twin nobody says, within the hours or after them.
    if (in_time and (is_cautious or is_held_for_it)) or (is_cautious and is_tags):
        return f"{whose} may have it{since}, and nothing is repeated there unless you say so"
    if in_time:
        return None
    return f"{whose} may have it{since}: 40 hours later it is not sure to drop a second one"


def _maybe_there_since(life: History) -> int | None:
    """Return since when it may be there; None where it cannot, or nobody knows of a try."""
    known = [attempt.at for attempt in life.attempts if attempt.ambiguous]
    if life.ambiguous_since is not None:
        known.append(life.ambiguous_since)
    if not known and life.reason in MAYBE_SENT:
        # Of no try is anything known; it cannot have been before it came in.
        return life.received_at
    return min(known, default=None)


def _put_event(sent: dict[str, object], event: str) -> None:
    """Name another event, in its place."""
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
        # An IP address alone rode on what is gone: by itself it is not enough.
        sent["identifiers"] = [element for element in left if _enough(element)]


def _worth(sent: dict[str, object], mend: Edit) -> str | None:
    """Change the amount and its currency; return what is wrong with them."""
    if mend.value is not None:
        read = amount(mend.value, path="value")
        if isinstance(read, Fault):
            return read.message
        sent["value"] = read
    if mend.divide is not None and mend.divide in DIVISORS:
        present = sent.get("value")
        if not isinstance(present, str):
            return "it has no value that could be divided"
        sent["value"] = _divided(present, mend.divide)
    if mend.currency is not None:
        money = currency(mend.currency, path="price_currency")
        if isinstance(money, Fault):
            return money.message
        sent["price_currency"] = money
    if "value" in sent and "price_currency" not in sent:
        return "a value needs its currency"
    return None


def _divided(value: str, divisor: int) -> str:
    """Move the decimal point: no float is made of it."""
    whole, _, decimals = value.partition(".")
    places = len(str(divisor)) - 1
    digits = whole.rjust(places + 1, "0")
    moved = f"{digits[:-places]}.{digits[-places:]}{decimals}"
    read = amount(moved, path="value")
    return moved if isinstance(read, Fault) else read


def _matches(sent: dict[str, object]) -> str | None:
    """Say what X would miss: each element must be enough by itself. [seen SW]"""
    elements = sent.get("identifiers")
    enough = isinstance(elements, list) and elements and all(map(_enough, elements))
    return None if enough else "nothing would be left to match a person by"


def _enough(element: Mapping[str, object]) -> bool:
    pair = "ip_address" in element and "user_agent" in element
    return pair or any(name in element for name in _STRONG)
