"""Check one conversion: list all its problems, and the key under which it counts."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from twite_emulator import spec
from twite_emulator.exchange import (
    EVENT_NAME_REFUSED,
    NOT_AN_ARRAY,
    TOO_FAR_AHEAD,
    TOO_OLD,
    UNKNOWN_FIELD,
    Problem,
)
from twite_emulator.fields import (
    count_problems,
    currency_problems,
    data_use_problems,
    double_problems,
    identifier_problems,
    invalid,
    milliseconds_of,
    missing,
    text_problems,
    time_of,
)
from twite_emulator.state import EmulatedState
from twite_emulator.switches import Switches
from twite_emulator.world import EmulatedEventTag, EmulatedPixel

GTM_PREFIX: Final = "gtm_"  # [doc GTM]
_TIMES: Final[Mapping[str, Callable[[str, object, Switches], float | Problem]]] = {
    "conversion_time": time_of,
    "conversion_timestamp": milliseconds_of,
}
_EXTRA_FIELDS: Final = ("restricted_data_use", "search_string", "event_source_url")


class ExaminedConversion(Struct, frozen=True, kw_only=True):
    problems: tuple[Problem, ...]
    home: str = ""  # the pixel the event is counted under
    event: str = ""  # the event id without tw-…, or the event name
    conversion_id: str | None = None
    conversion: Mapping[str, object] = {}  # as it was sent
    at: float = 0  # its time, epoch seconds


def examine(
    conversion: object, pixel: EmulatedPixel, auth: str, state: EmulatedState
) -> ExaminedConversion:
    if not isinstance(conversion, dict):
        return ExaminedConversion(
            problems=(invalid(spec.WRONG_TYPE, "conversions", conversion, type="Object"),)
        )
    home, event, problems = _event(conversion, pixel, auth, state)
    at, wrong = _time(conversion, state)
    problems += wrong
    problems += identifier_problems(conversion.get("identifiers"), state.switches)
    problems += _field_problems(conversion, state.switches)
    conversion_id = conversion.get("conversion_id")
    return ExaminedConversion(
        problems=tuple(problems),
        home=home,
        event=event,
        conversion_id=conversion_id if isinstance(conversion_id, str) and conversion_id else None,
        conversion=conversion,
        at=at,
    )


def _find_event(
    event_id: str, pixel: EmulatedPixel, state: EmulatedState
) -> EmulatedEventTag | None:
    """Return the event with this id (`o8z6k` or `tw-o8z6j-o8z6k`), if it is the account's."""
    bare, pixel_part = event_id, None
    if event_id.startswith("tw-"):
        _, pixel_part, bare = event_id.split("-", 2) if event_id.count("-") > 1 else ("", "", "")
    tag = tag_by_id(bare, state)
    if tag is None or tag.deleted or pixel_part not in (None, tag.pixel):
        return None
    if state.world.account_of(tag) != pixel.account:
        return None
    if state.switches.event_scope == "pixel" and tag.pixel != pixel.id:
        return None
    return tag


def tag_by_id(bare: str, state: EmulatedState) -> EmulatedEventTag | None:
    world, mode = state.world, state.switches.tag_id_mode
    if mode != "website_tag_id" and bare in world.events:
        return world.events[bare]
    if mode != "id" and bare in world.website_tags:
        return world.events[world.website_tags[bare]]
    return None


def _event(
    conversion: Mapping[str, object], pixel: EmulatedPixel, auth: str, state: EmulatedState
) -> tuple[str, str, list[Problem]]:
    """(home pixel, event, problems)."""
    event_id = conversion.get("event_id")
    if event_id is None or event_id == "":
        return _named_event(conversion.get("event_name"), pixel, auth, state)
    if not isinstance(event_id, str):
        return "", "", [invalid(spec.WRONG_TYPE, "event_id", event_id, type="String")]
    tag = _find_event(event_id, pixel, state)
    if tag is not None:
        return tag.pixel, tag.id, []
    not_an_event = Problem(
        spec.INVALID_PARAMETER, spec.NOT_AN_EVENT.format(event_id=event_id), "event_id"
    )
    own = state.world.pixels.get(event_id)
    if own is not None and own.account == pixel.account:
        return "", "", [not_an_event]
    foreign = Problem(spec.NOT_FOUND, spec.FOREIGN_EVENT.format(event_id=event_id), "event_id")
    return "", "", [foreign, not_an_event]


def _named_event(
    name: object, pixel: EmulatedPixel, auth: str, state: EmulatedState
) -> tuple[str, str, list[Problem]]:
    if name is None or name == "":
        return "", "", [Problem(spec.INVALID_PARAMETER, spec.EVENT_MISSING, "event_id")]
    if not isinstance(name, str):
        return "", "", [invalid(spec.WRONG_TYPE, "event_name", name, type="String")]
    mode = state.switches.event_name_mode
    accepted = mode == "any" or (
        name.startswith(GTM_PREFIX)
        and (mode == "gtm" or (mode == "gtm_token" and auth == "pixel_token"))
    )
    if not accepted:
        return "", "", [invalid(EVENT_NAME_REFUSED, "event_name", name)]
    return pixel.id, name, []


def _time(conversion: Mapping[str, object], state: EmulatedState) -> tuple[float, list[Problem]]:
    """Return the time that counts, 0 if there is none, and the problems of both times."""
    switches = state.switches
    read = {
        name: read_time(name, conversion[name], switches)
        for name, read_time in _TIMES.items()
        if conversion.get(name) is not None
    }
    if not read:
        return 0, [missing("conversion_time")]
    problems = [moment for moment in read.values() if isinstance(moment, Problem)]
    moments = {name: at for name, at in read.items() if not isinstance(at, Problem)}
    if not moments:
        return 0, problems
    rules = switches.time_precedence
    name = rules if rules in moments else next(iter(moments))
    age = state.at - moments[name]
    if switches.max_age and age > switches.max_age:
        problems.append(invalid(TOO_OLD, name))
    if switches.max_future and -age > switches.max_future:
        problems.append(invalid(TOO_FAR_AHEAD, name))
    return moments[name], problems


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


def _group(name: str, value: object, _switches: Switches) -> list[Problem]:
    """X's table says integer, its sample has a string: both pass. [conflict WEB]"""
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


_CHECKS: Final[Mapping[str, Check]] = {
    "conversion_id": text_problems,
    "description": text_problems,
    "search_string": text_problems,
    "event_source_url": text_problems,
    "value": double_problems,
    "price_currency": currency_problems,
    "number_items": count_problems,
    "restricted_data_use": data_use_problems,
    "contents": _contents,
}
_CONTENT_CHECKS: Final[Mapping[str, Check]] = {
    "content_id": text_problems,
    "content_group_id": _group,
    "content_name": text_problems,
    "content_price": double_problems,
    "content_type": text_problems,
    "num_items": count_problems,
}
_JUDGED_ELSEWHERE: Final = frozenset(spec.CONVERSION_FIELDS) - frozenset(_CHECKS)
