"""What ads brought: planted clicks, views and spend, and the conversions attributed to them.

A conversion is attributed when it arrives, if X counts it, to a click or view that is known by
then: one with the same click id or hashed email, in the event's windows, of the pixel's account.
The newest click has precedence, then the newest view. [guess]
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from itertools import count
from operator import attrgetter
from typing import Annotated, Final, Literal, TypeVar
from zlib import crc32

import msgspec
from msgspec import Meta, Struct

from twite_emulator import spec
from twite_emulator.exchange import EmulatorInputError
from twite_emulator.switches import Switches
from twite_emulator.world import EmulatedEventTag, Placement, World

DAY_SECONDS: Final = 86_400
MICROS: Final = 1_000_000
HASH_DIGITS: Final = 64
_KEYS: Final = ("twclid", "hashed_email")
_by_time: Final = attrgetter("at")


class PlantedTouch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A click on an ad, or a view of one. `at` is epoch seconds; by default, X's present time.

    `twclid` and `hashed_email` are what conversions contain; `email` is hashed when it is planted.
    """

    line_item: str
    at: float | None = None
    twclid: str | None = None
    hashed_email: str | None = None
    email: str | None = None
    placement: Placement = "ALL_ON_TWITTER"

    def __repr__(self) -> str:
        return f"PlantedTouch(line_item={self.line_item!r}, at={self.at!r})"


class PlantedSpend(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The final spend of one day in the account's time zone, in millionths of its currency."""

    line_item: str
    day: date
    micros: Annotated[int, Meta(ge=0)]
    placement: Placement = "ALL_ON_TWITTER"


class AdTouch(Struct, frozen=True, kw_only=True):
    line_item: str
    kind: Literal["click", "view"]
    at: float
    placement: Placement
    keys: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"AdTouch(line_item={self.line_item!r}, kind={self.kind!r}, at={self.at!r})"


class DailySpend(Struct, kw_only=True):
    micros: int
    corrected_at: list[float] = []  # when it was planted again


class CountedConversion(Struct, frozen=True, kw_only=True):
    """What attribution needs of one counted copy. Times are epoch seconds."""

    tag: EmulatedEventTag
    at: float
    received_at: float
    keys: frozenset[tuple[str, str]]
    value: Decimal | None = None
    currency: str = spec.DEFAULT_CURRENCY
    items: int = 1

    def __repr__(self) -> str:
        return f"CountedConversion(event={self.tag.id!r}, at={self.at!r})"


class AttributedConversion(Struct, frozen=True, kw_only=True):
    """A conversion that X attributes to a click or view. `micros`: in the account's currency."""

    tag: EmulatedEventTag
    touch: AdTouch
    at: float
    received_at: float
    micros: int
    items: int
    draw: float  # from 0 to 1, as if random: whether an estimate includes it, and its segment


PlantedT = TypeVar("PlantedT", PlantedTouch, PlantedSpend)


class Ads:
    def __init__(self) -> None:
        self.touches: dict[str, list[AdTouch]] = defaultdict(list)  # by line item, oldest first
        self.spend: dict[tuple[str, Placement], dict[date, DailySpend]] = defaultdict(dict)
        self._by_key: dict[tuple[str, str], list[AdTouch]] = defaultdict(list)
        self.forget()

    def forget(self) -> None:
        """Forget the conversions; keep clicks, views and spend."""
        # By line item and conversion.
        self._attributed: dict[str, dict[tuple[object, ...], AttributedConversion]] = defaultdict(
            dict
        )
        self._line_items: dict[tuple[object, ...], str] = {}  # of each attributed conversion
        self._serial = count()

    def attributed_to(self, line_item: str) -> Iterable[AttributedConversion]:
        return self._attributed[line_item].values()

    @property
    def is_empty(self) -> bool:
        return not self._by_key

    def plant(self, document: Mapping[str, object], world: World, *, at: float) -> dict[str, int]:
        """Add lists of `clicks`, `views` and `spend`; return how many. All or nothing.

        Spend of a day that is known replaces it, as X's corrections do.
        Raises EmulatorInputError.
        """
        touches: list[AdTouch] = []
        spend: list[PlantedSpend] = []
        for kind, entries in document.items():
            if kind == "spend":
                spend = _converted(kind, entries, PlantedSpend)
            elif kind in ("clicks", "views"):
                planted = _converted(kind, entries, PlantedTouch)
                touches += [_touch(touch, kind, at) for touch in planted]
            else:
                raise EmulatorInputError(f"Plant clicks, views or spend, but not {kind!r}")
        named = {touch.line_item for touch in touches} | {amount.line_item for amount in spend}
        for line_item in sorted(named - world.line_items.keys()):
            raise EmulatorInputError(f"There is no line item {line_item!r}. Add it with PUT world")
        for touch in touches:
            insort(self.touches[touch.line_item], touch, key=_by_time)
            for key in touch.keys:
                insort(self._by_key[key], touch, key=_by_time)
        for amount in spend:
            self._put_spend(amount, at)
        return {"touches": len(touches), "spend": len(spend)}

    def _put_spend(self, planted: PlantedSpend, at: float) -> None:
        days = self.spend[planted.line_item, planted.placement]
        known = days.get(planted.day)
        if known is None:
            days[planted.day] = DailySpend(micros=planted.micros)
        elif known.micros != planted.micros:
            known.micros = planted.micros
            known.corrected_at.append(at)

    def receive(
        self,
        conversion: CountedConversion,
        conversion_id: str | None,
        *,
        counts: bool,
        world: World,
        switches: Switches,
    ) -> None:
        """Attribute a copy. One that does not count replaces the first while `dedup_keep` is last.

        `counts`: it is not a duplicate.
        """
        if not counts and switches.dedup_keep == "first":
            return
        name: tuple[object, ...] = (conversion.tag.pixel, conversion.tag.id, conversion_id)
        if counts and (conversion_id is None or name in self._line_items):
            name = (*name, next(self._serial))
        elif name in self._line_items:
            del self._attributed[self._line_items.pop(name)][name]
        touch = self._touch_of(conversion, world)
        if touch is None:
            return
        same_currency = conversion.currency == world.instrument_of(touch.line_item).currency
        # X's exchange rates are unknown: another currency leaves the sale amount blank.
        value = conversion.value if same_currency and conversion.value is not None else Decimal(0)
        self._line_items[name] = touch.line_item
        self._attributed[touch.line_item][name] = AttributedConversion(
            tag=conversion.tag,
            touch=touch,
            at=conversion.at,
            received_at=conversion.received_at,
            micros=int(value * MICROS),
            items=conversion.items,
            draw=crc32(repr(name).encode()) / (1 << 32),
        )

    def _touch_of(self, conversion: CountedConversion, world: World) -> AdTouch | None:
        tag = conversion.tag
        windows = {"click": tag.click_window, "view": tag.view_through_window}
        found = [
            touch
            for key in conversion.keys
            for touch in self._by_key.get(key, ())
            if 0 <= conversion.at - touch.at <= windows[touch.kind] * DAY_SECONDS
            and world.instrument_of(touch.line_item).account == world.account_of(tag)
        ]
        return max(found, key=lambda touch: (touch.kind == "click", touch.at), default=None)


def keys_of(elements: object) -> frozenset[tuple[str, str]]:
    """Return the click ids and hashed emails in `identifiers` of a conversion that X accepts."""
    return frozenset(
        (name, element[name].strip() if name == "twclid" else element[name].lower())
        for element in (elements if isinstance(elements, list) else ())
        if isinstance(element, dict)
        for name in _KEYS
        if isinstance(element.get(name), str) and element[name].strip()
    )


def amount_of(value: object) -> Decimal | None:
    """Return the value of a conversion that X accepts: a number or a decimal text."""
    try:
        return None if value is None or isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        return None


def items_of(value: object) -> int:
    """Return the number of items; 1 if there is none."""
    text = str(value)
    return int(text) if text.isdecimal() else 1


def _converted(kind: str, entries: object, of: type[PlantedT]) -> list[PlantedT]:
    try:
        return msgspec.convert(entries, list[of])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise EmulatorInputError(f"{kind}: {error}") from None


def _touch(planted: PlantedTouch, listed: str, at: float) -> AdTouch:
    hashed = planted.hashed_email
    if planted.email is not None:
        hashed = sha256(planted.email.strip().lower().encode()).hexdigest()
    elif hashed is not None and len(hashed) != HASH_DIGITS:
        raise EmulatorInputError("hashed_email must be a SHA-256 hash; or plant the email itself")
    keys = (("twclid", planted.twclid), ("hashed_email", hashed and hashed.lower()))
    return AdTouch(
        line_item=planted.line_item,
        kind="click" if listed == "clicks" else "view",
        at=at if planted.at is None else planted.at,
        placement=planted.placement,
        keys=tuple((name, text) for name, text in keys if text),
    )
