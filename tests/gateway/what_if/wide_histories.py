"""Histories with further kinds of input: beacons, Stape's tag, late identifiers and tags."""

from decimal import Decimal
from random import Random

from msgspec.structs import replace
from past_histories import CLICKS, PastCall, a_conversion, an_x_conversion

from twite.domain.conversion import dedup_key
from twite.domain.submission import AcceptedConversion
from twite.domain.times import SECOND
from twite.gateway.ports.tags import PREFIX, FiringResult
from twite.gateway.what_if.intake_settings import IntakeSettings

WAIT = 20 * SECOND
TAG = f"{PREFIX}vendor"


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
