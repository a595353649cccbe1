"""Histories with further kinds of input and of changes.

The wide ones have beacons, Stape's tag, late identifiers and tags. The widest also have other dedup
windows, and pixels that the changed settings add or remove.
"""

from decimal import Decimal
from random import Random

from msgspec.structs import astuple, replace
from past_histories import CLICKS, WINDOW, PastCall, a_conversion, an_x_conversion

from builders import a_destination
from twite.domain.consent import ConsentAction
from twite.domain.conversion import LEAST_WINDOW, dedup_key
from twite.domain.submission import AcceptedConversion
from twite.domain.times import DAY, HOUR, SECOND
from twite.gateway.ports.tags import PREFIX, FiringResult
from twite.gateway.what_if.intake_settings import IntakeSettings

WAIT = 20 * SECOND
TAG = f"{PREFIX}vendor"
WINDOWS = (LEAST_WINDOW, LEAST_WINDOW, 4 * DAY, WINDOW, 14 * DAY)


def widened(settings: IntakeSettings, number: int, *, is_changed: bool) -> IntakeSettings:
    """Return settings with a limit of values from pages, and for some histories with joins."""
    random = Random(f"wide {number}")
    limits = [random.choice((None, Decimal(30), Decimal(40))) for _ in range(2)]
    wait = random.choice((0, 0, WAIT))
    (source,) = settings.sources.values()
    source = replace(
        source,
        browser_value_limit=limits[is_changed],
        wait=wait,
        joined_pixels=source.pixels if wait else frozenset(),
    )
    return replace(settings, sources={source.name: source})


def with_more_calls(calls: list[PastCall], number: int) -> list[PastCall]:
    """Return a history with more requests between the others, some of them repeated."""
    random = Random(f"calls {number}")
    found = []
    added: list[PastCall] = []
    for call in calls:
        found.append(call)
        if random.random() < 0.4:
            again = bool(added) and random.random() < 0.25
            more = random.choice(added) if again else _a_call(random, number)
            added.append(replace(more, at=call.at + 25 * SECOND))
            found.append(added[-1])
    return found


def _a_call(random: Random, number: int) -> PastCall:
    if random.random() < 0.3:
        body = {"conversions": [an_x_conversion(random) for _ in range(random.randint(1, 2))]}
        return PastCall(at=0, kind="stape", body=body, pixel=f"p{number}")
    conversion = a_conversion(random, number)
    if random.random() < 0.5:
        conversion["user_id"] = f"user-{random.randint(1, 3)}"
    if random.random() < 0.4:
        return PastCall(at=0, kind="native", body=conversion)
    for name in ("email", "phone", "ip", "user_agent", "pixel"):
        conversion.pop(name, None)
    if random.random() < 0.7:
        conversion["twclid"] = random.choice(CLICKS)
    return PastCall(at=0, kind="beacon", body={"conversions": [conversion]})


def most_widened(settings: IntakeSettings, number: int, *, is_changed: bool) -> IntakeSettings:
    """Return settings with their own dedup window, and for some with a pixel more or fewer."""
    random = Random(f"widest {number}")
    windows = [random.choice(WINDOWS) for _ in range(2)]
    destinations = dict(settings.destinations)
    if random.choice((False, False, is_changed, not is_changed)):
        new = f"r{number}"
        destinations[new] = replace(a_destination(new), events={"purchase": "o1", "lead": "o3"})
    if random.choice((False, False, False, is_changed, not is_changed)):
        del destinations[f"q{number}"]
    (source,) = settings.sources.values()
    pixels = frozenset(destinations)
    source = replace(
        source,
        pixel=source.pixel if source.pixel in pixels else f"p{number}",
        pixels=pixels,
        joined_pixels=pixels if source.wait else frozenset(),
    )
    return IntakeSettings.of(
        sources=(source,),
        destinations=tuple(destinations.values()),
        dedup_window=windows[is_changed],
        rules=settings.value_rules.rules,
    )


def with_more_pixels(
    calls: list[PastCall], settings: IntakeSettings, number: int
) -> list[PastCall]:
    """Return a history in which some requests name a pixel that not all settings have.

    Requests in X's format are for pixels that the settings have: others are not stored. Some
    requests are repeated, before and after the end of a dedup window.
    """
    random = Random(f"pixels {number}")
    later = (HOUR, DAY, LEAST_WINDOW - HOUR, LEAST_WINDOW + HOUR, 4 * DAY + HOUR)
    again = [
        replace(call, at=call.at + random.choice(later)) for call in calls if random.random() < 0.5
    ]
    calls = sorted([*calls, *again], key=lambda call: call.at)
    named = [_for_pixel(call, f"{random.choice('pqr')}{number}") if random.random() < 0.3 else call
             for call in calls]  # fmt: skip
    return [call for call in named if not call.pixel or call.pixel in settings.destinations]


def _for_pixel(call: PastCall, pixel: str) -> PastCall:
    if call.pixel:
        return replace(call, pixel=pixel)
    if call.kind == "native" and isinstance(call.body, dict) and "conversions" not in call.body:
        return replace(call, body=call.body | {"pixel": pixel})
    return call


def since_of(calls: list[PastCall], number: int, *settings: IntakeSettings) -> int:
    """Return when the range of a history begins (ms): for some of them, at one of its requests.

    The value guards learn from the beginning of what is read, and conversions that were received
    earlier may be held: such histories are read from their beginning.
    """
    random = Random(f"since {number}")
    are_amounts = "u0" in str(calls[0].body)
    may_hold = any(
        ConsentAction.HOLD in astuple(source.consent)
        for each in settings
        for source in each.sources.values()
    )
    since = random.choice((calls[0], random.choice(calls))).at
    return calls[0].at if are_amounts or may_hold else since


def has_tags(number: int) -> bool:
    return Random(f"tags {number}").random() < 0.3


class EachEvent:
    """A tag that fires for each event of a source."""

    def __init__(self, number: int) -> None:
        self._source = f"shop{number}"

    def listens_to(self, source: str) -> bool:
        return source == self._source

    async def dispatch(self, remarks, *, source, origin, now, first, held) -> FiringResult:
        del source, now, held
        entries = []
        for index, remark in enumerate(remarks, first):
            identity = remark.conversion_id or f"{origin.request_id}-{index}"
            entries.append(
                AcceptedConversion(
                    index=index,
                    key=dedup_key(TAG, "event", identity),
                    pixel=TAG,
                    event="event",
                    conversion_id=identity,
                    body=b"{}",
                )
            )
        return FiringResult(fired=tuple(entries))
