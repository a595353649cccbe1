"""Check one conversion: list all its problems, and the key under which it counts."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from twite.emulator.exchange import (
    EVENT_NAME_REFUSED,
    NOT_AN_ARRAY,
    TOO_FAR_AHEAD,
    TOO_OLD,
    UNKNOWN_FIELD,
    Problem,
)
from twite.emulator.fields import (
    choice_problem,
    count_problem,
    currency_problem,
    double_problem,
    identifier_problems,
    invalid,
    milliseconds_of,
    missing,
    text_problem,
    time_of,
)
from twite.emulator.switches import Switches
from twite.emulator.world import EmulatedEventTag, EmulatedPixel, World
from twite.x import spec

GTM_PREFIX: Final = "gtm_"  # [doc GTM]


class ExamineContext(Struct, frozen=True, kw_only=True):
    """The context in which a conversion is checked. `at` is epoch seconds."""

    world: World
    switches: Switches
    pixel: EmulatedPixel
    auth: str
    at: float


class ConversionProblem(Struct, frozen=True, kw_only=True):
    problems: tuple[Problem, ...]
    home: str = ""  # the pixel the event is counted under
    event: str = ""  # the event id without tw-…, or the event name
    conversion_id: str | None = None


def examine(conversion: object, bench: ExamineContext) -> ConversionProblem:
    if not isinstance(conversion, dict):
        return ConversionProblem(
            problems=(invalid(spec.WRONG_TYPE, "conversions", conversion, type="Object"),)
        )
    home, event, problems = _event(conversion, bench)
    problems += _time_problems(conversion, bench)
    problems += identifier_problems(conversion.get("identifiers"), bench.switches)
    problems += _field_problems(conversion, bench.switches)
    conversion_id = conversion.get("conversion_id")
    return ConversionProblem(
        problems=tuple(problems),
        home=home,
        event=event,
        conversion_id=conversion_id if isinstance(conversion_id, str) and conversion_id else None,
    )


def find_event(event_id: str, bench: ExamineContext) -> EmulatedEventTag | None:
    """Return the event with this id (`o8z6k` or `tw-o8z6j-o8z6k`), if it is the account's."""
    bare, pixel_part = event_id, None
    if event_id.startswith("tw-"):
        _, pixel_part, bare = event_id.split("-", 2) if event_id.count("-") > 1 else ("", "", "")
    tag = tag_by_id(bare, bench.world, bench.switches)
    if tag is None or tag.deleted or pixel_part not in (None, tag.pixel):
        return None
    if bench.world.account_of(tag) != bench.pixel.account:
        return None
    if bench.switches.event_scope == "pixel" and tag.pixel != bench.pixel.id:
        return None
    return tag


def tag_by_id(bare: str, world: World, switches: Switches) -> EmulatedEventTag | None:
    if switches.tag_id_mode != "website_tag_id" and bare in world.events:
        return world.events[bare]
    if switches.tag_id_mode != "id" and bare in world.website_tags:
        return world.events[world.website_tags[bare]]
    return None


def _event(
    conversion: Mapping[str, object], bench: ExamineContext
) -> tuple[str, str, list[Problem]]:
    """(home pixel, event, problems)."""
    event_id = conversion.get("event_id")
    if event_id is None or event_id == "":
        return _named_event(conversion.get("event_name"), bench)
    if not isinstance(event_id, str):
        return "", "", [invalid(spec.WRONG_TYPE, "event_id", event_id, type="String")]
    tag = find_event(event_id, bench)
    if tag is not None:
        return tag.pixel, tag.id, []
    not_an_event = Problem(
        spec.INVALID_PARAMETER, spec.NOT_AN_EVENT.format(event_id=event_id), "event_id"
    )
    own = bench.world.pixels.get(event_id)
    if own is not None and own.account == bench.pixel.account:
        return "", "", [not_an_event]
    foreign = Problem(spec.NOT_FOUND, spec.FOREIGN_EVENT.format(event_id=event_id), "event_id")
    return "", "", [foreign, not_an_event]


def _named_event(name: object, bench: ExamineContext) -> tuple[str, str, list[Problem]]:
    if name is None or name == "":
        return "", "", [Problem(spec.INVALID_PARAMETER, spec.EVENT_MISSING, "event_id")]
    if not isinstance(name, str):
        return "", "", [invalid(spec.WRONG_TYPE, "event_name", name, type="String")]
    mode = bench.switches.event_name_mode
    accepted = mode == "any" or (
        name.startswith(GTM_PREFIX)
        and (mode == "gtm" or (mode == "gtm_token" and bench.auth == "pixel_token"))
    )
    if not accepted:
        return "", "", [invalid(EVENT_NAME_REFUSED, "event_name", name)]
    return bench.pixel.id, name, []


def _time_problems(conversion: Mapping[str, object], bench: ExamineContext) -> list[Problem]:
    written = conversion.get("conversion_time")
    stamp = conversion.get("conversion_timestamp")
    if written is None and stamp is None:
        return [missing("conversion_time")]
    problems: list[Problem] = []
    moments: dict[str, float] = {}
    if written is not None:
        moment = time_of("conversion_time", written, bench.switches)
        _sort("conversion_time", moment, moments, problems)
    if stamp is not None:
        moment = milliseconds_of("conversion_timestamp", stamp)
        _sort("conversion_timestamp", moment, moments, problems)
    if moments:
        rules = bench.switches.time_precedence
        name = rules if rules in moments else next(iter(moments))
        age = bench.at - moments[name]
        if bench.switches.max_age and age > bench.switches.max_age:
            problems.append(invalid(TOO_OLD, name))
        if bench.switches.max_future and -age > bench.switches.max_future:
            problems.append(invalid(TOO_FAR_AHEAD, name))
    return problems


def _sort(
    name: str, moment: float | Problem, moments: dict[str, float], problems: list[Problem]
) -> None:
    if isinstance(moment, Problem):
        problems.append(moment)
    else:
        moments[name] = moment


def _field_problems(conversion: Mapping[str, object], switches: Switches) -> list[Problem]:
    problems: list[Problem] = []
    for name, value in conversion.items():
        check = _CHECKS.get(name)
        if check is None:
            if name not in _JUDGED_ELSEWHERE and switches.unknown_fields == "reject":
                problems.append(invalid(UNKNOWN_FIELD, name))
        elif value is None:
            continue
        elif name in _EXTRA_FIELDS and switches.extra_fields == "reject":
            problems.append(invalid(UNKNOWN_FIELD, name))
        else:
            problems += check(name, value, switches)
    return problems


Check = Callable[[str, object, Switches], list[Problem]]


def _text(name: str, value: object, _: Switches) -> list[Problem]:
    return _listed(text_problem(name, value))


def _double(name: str, value: object, switches: Switches) -> list[Problem]:
    return _listed(double_problem(name, value, switches))


def _count(name: str, value: object, _: Switches) -> list[Problem]:
    return _listed(count_problem(name, value))


def _currency(name: str, value: object, switches: Switches) -> list[Problem]:
    return _listed(currency_problem(name, value, switches))


def _data_use(name: str, value: object, _: Switches) -> list[Problem]:
    return _listed(choice_problem(name, value, spec.RESTRICTED_DATA_USE))


def _group(name: str, value: object, _: Switches) -> list[Problem]:
    """X's table says integer, its sample has a text: both pass. [conflict WEB]"""
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return []
    return [invalid(spec.WRONG_TYPE, name, value, type="String")]


def _contents(name: str, contents: object, switches: Switches) -> list[Problem]:
    if not isinstance(contents, list):
        return [invalid(NOT_AN_ARRAY, name, contents)]
    problems: list[Problem] = []
    for content in contents:
        if not isinstance(content, dict):
            problems.append(invalid(spec.WRONG_TYPE, name, content, type="Object"))
            continue
        for key, value in content.items():
            check = _CONTENT_CHECKS.get(key)
            if check is None:
                if switches.unknown_fields == "reject":
                    problems.append(invalid(UNKNOWN_FIELD, key))
            elif value is not None:
                problems += check(key, value, switches)
    return problems


def _listed(problem: Problem | None) -> list[Problem]:
    return [] if problem is None else [problem]


_EXTRA_FIELDS: Final = ("restricted_data_use", "search_string", "event_source_url")
_CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "conversion_id": _text,
        "description": _text,
        "search_string": _text,
        "event_source_url": _text,
        "value": _double,
        "price_currency": _currency,
        "number_items": _count,
        "restricted_data_use": _data_use,
        "contents": _contents,
    }
)
_CONTENT_CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "content_id": _text,
        "content_group_id": _group,
        "content_name": _text,
        "content_price": _double,
        "content_type": _text,
        "num_items": _count,
    }
)
_JUDGED_ELSEWHERE: Final = frozenset(spec.CONVERSION_FIELDS) - frozenset(_CHECKS)
