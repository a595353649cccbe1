"""Active entities: whose figures changed in some hours, and the times that the changes apply to."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from twite_emulator.analytics.figures import (
    counted_at,
    is_counted,
    settled_at,
    spend_by_hour,
)
from twite_emulator.analytics.metrics import ACTIVE_DAYS, ENTITIES, SPEND_FINAL_AFTER
from twite_emulator.analytics.periods import midnight, read_hours
from twite_emulator.analytics.query import entity_ids
from twite_emulator.exchange import (
    EXCLUSIVE,
    EXCLUSIVE_PARAMETERS,
    NOT_ONE_OF,
    Problem,
    XAnswer,
    json_answer,
    refusal,
    utc,
)
from twite_emulator.fields import invalid, missing
from twite_emulator.listing import ids_of
from twite_emulator.state import EmulatedState

_REQUIRED: Final = ("entity", "start_time", "end_time")
_ENTITIES: Final = tuple(name for name in ENTITIES if name != "ACCOUNT")
_FILTERS: Final[Mapping[str, str]] = {
    "campaign_ids": "CAMPAIGN",
    "funding_instrument_ids": "FUNDING_INSTRUMENT",
    "line_item_ids": "LINE_ITEM",
}
# When a figure changed, the time that the change applies to, and its placement.
ChangeEvent = tuple[float, float, str]


def answer_activity(pairs: Mapping[str, str], account: str, state: EmulatedState) -> XAnswer:
    problems = [missing(name) for name in _REQUIRED if not pairs.get(name)]
    entity = pairs.get("entity", "")
    if entity and entity not in _ENTITIES:
        problems.append(invalid(NOT_ONE_OF, "entity", entity, choices=", ".join(_ENTITIES)))
    chosen = _chosen(pairs, account, state)
    if isinstance(chosen, Problem):
        problems.append(chosen)
    if problems or isinstance(chosen, Problem):
        return refusal(400, *problems, account_id=account)
    period = read_hours(pairs, state.world.accounts[account].zone, days=ACTIVE_DAYS)
    if isinstance(period, list):
        return refusal(400, *period, account_id=account)
    data: list[object] = []
    for id_, line_items in entity_ids(entity, account, state.world).items():
        found = [
            change
            for line_item in line_items
            if line_item in chosen
            for change in _changes(line_item, state)
            if period.start <= change[0] < period.end and change[0] <= state.at
        ]
        if found:
            applied = [applies for _, applies, _ in found]
            data.append(
                {
                    "entity_id": id_,
                    "activity_start_time": utc(min(applied)),
                    "activity_end_time": utc(max(applied)),
                    "placements": sorted({placement for _, _, placement in found}),
                }
            )
    params = {
        "account_id": account,
        "entity": entity,
        "start_time": utc(period.start),
        "end_time": utc(period.end),
    }
    return json_answer(200, {"request": {"params": params}, "data": data})


def _chosen(pairs: Mapping[str, str], account: str, state: EmulatedState) -> set[str] | Problem:
    """Return the line items that the filter selects, all without one."""
    given = [name for name in _FILTERS if pairs.get(name)]
    if len(given) > 1:
        named = ", ".join(given)
        return Problem(EXCLUSIVE_PARAMETERS, EXCLUSIVE.format(parameter=named), named)
    if not given:
        return set(state.world.line_items)
    ids = ids_of(given[0], pairs[given[0]])
    if isinstance(ids, Problem):
        return ids
    known = entity_ids(_FILTERS[given[0]], account, state.world)
    return {line_item for id_ in ids for line_item in known.get(id_, ())}


def _changes(line_item: str, state: EmulatedState) -> Iterator[ChangeEvent]:
    delay = state.switches.stats_delay
    for touch in state.ads.touches.get(line_item, ()):
        yield touch.at + delay, touch.at, touch.placement
    yield from _spend_changes(line_item, state)
    for conversion in state.ads.attributed_to(line_item):
        if is_counted(conversion, state):
            applies, placement = counted_at(conversion, state), conversion.touch.placement
            yield conversion.received_at + delay, applies, placement
            if conversion.draw >= state.switches.estimate_share:
                yield settled_at(conversion, state), applies, placement


def _spend_changes(line_item: str, state: EmulatedState) -> Iterator[ChangeEvent]:
    zone = state.world.accounts[state.world.instrument_of(line_item).account].zone
    for (spender, placement), days in state.ads.spend.items():
        for day, spent in days.items() if spender == line_item else ():
            hours = [hour for hour, _ in spend_by_hour(line_item, day, spent.micros, state, None)]
            for hour in hours:
                yield hour + state.switches.stats_delay, hour, placement
            changed = list(spent.corrected_at)
            if state.switches.spend_excess:
                changed.append(midnight(day + timedelta(1), zone) + SPEND_FINAL_AFTER)
            for when in changed:
                yield when, hours[0], placement
                yield when, hours[-1], placement
