"""The parameters of a request for statistics, all of them checked."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from twite_emulator import spec
from twite_emulator.analytics.metrics import (
    CONVERSION_METRICS,
    ENTITIES,
    ENTITY_NOT_FOUND,
    GRANULARITIES,
    GROUPS,
    GROUPS_OF,
    JOB_DAYS,
    LEGACY_PLACEMENT,
    MAX_ENTITY_IDS,
    PLACEMENTS,
    SEGMENTED_DAYS,
    SEGMENTS,
    SYNC_DAYS,
)
from twite_emulator.analytics.periods import Period, read_period
from twite_emulator.exchange import NOT_ONE_OF, Problem, utc
from twite_emulator.fields import invalid, missing
from twite_emulator.listing import ids_of
from twite_emulator.state import EmulatedState
from twite_emulator.world import World

_REQUIRED: Final = (
    "entity",
    "entity_ids",
    "start_time",
    "end_time",
    "granularity",
    "placement",
    "metric_groups",
)
_CHOICES: Final[Mapping[str, Sequence[str]]] = {
    "entity": ENTITIES,
    "granularity": GRANULARITIES,
    "placement": (*PLACEMENTS, LEGACY_PLACEMENT),
    "segmentation_type": tuple(SEGMENTS),
}
# [guess] for the messages below.
_NOT_OFFERED: Final = "metric_groups ({value}) is not available for {entity}"
_NOT_COMPATIBLE: Final = "segmentation_type ({value}) is only compatible with WEB_CONVERSION"
_ENTITY_MISSING: Final = "{entity} ({value}) was not found"
_SYNC_ONLY: Final = "segmentation_type is only available for jobs"


class StatsQuery(Struct, frozen=True, kw_only=True):
    """A valid request for statistics. `echo` is X's `request.params`."""

    account: str
    entity: str
    entity_ids: tuple[str, ...]
    period: Period
    granularity: str
    placement: str
    metric_groups: tuple[str, ...]
    segmentation_type: str | None = None
    country: str | None = None

    @property
    def echo(self) -> dict[str, object]:
        return {
            "start_time": utc(self.period.start),
            "segmentation_type": self.segmentation_type,
            "entity_ids": self.entity_ids,
            "end_time": utc(self.period.end),
            "country": self.country,
            "placement": self.placement,
            "granularity": self.granularity,
            "entity": self.entity,
            "platform": None,
            "metric_groups": self.metric_groups,
        }


def read_query(
    pairs: Mapping[str, str], account: str, state: EmulatedState, *, is_job: bool
) -> StatsQuery | list[Problem]:
    """Read the parameters, or return all problems that can be found together."""
    problems = [missing(name) for name in _REQUIRED if not pairs.get(name)]
    problems += [
        invalid(NOT_ONE_OF, name, pairs[name], choices=", ".join(choices))
        for name, choices in _CHOICES.items()
        if pairs.get(name) and pairs[name] not in choices
    ]
    groups = tuple((pairs.get("metric_groups") or "").split(","))
    problems += [
        invalid(NOT_ONE_OF, "metric_groups", group, choices=", ".join(GROUPS))
        for group in groups
        if group and group not in GROUPS
    ]
    segmentation = pairs.get("segmentation_type") or None
    if problems:
        return problems
    problems += _group_problems(pairs["entity"], groups)
    problems += _segmentation_problems(segmentation, groups, pairs, is_job=is_job)
    ids = ids_of("entity_ids", pairs["entity_ids"], most=MAX_ENTITY_IDS)
    if isinstance(ids, Problem):
        problems.append(ids)
    days = SYNC_DAYS if not is_job else JOB_DAYS if segmentation is None else SEGMENTED_DAYS
    period = read_period(
        pairs,
        state.world.accounts[account].zone,
        granularity=pairs["granularity"],
        days=days,
        at=state.at,
        switches=state.switches,
    )
    if isinstance(period, list) or isinstance(ids, Problem) or problems:
        return problems + (period if isinstance(period, list) else [])
    return StatsQuery(
        account=account,
        entity=pairs["entity"],
        entity_ids=ids,
        period=period,
        granularity=pairs["granularity"],
        placement=pairs["placement"],
        metric_groups=groups,
        segmentation_type=segmentation,
        country=pairs.get("country") or None,
    )


def unknown_entity(query: StatsQuery, state: EmulatedState) -> Problem | None:
    """Return the problem of the first id that the account does not have."""
    if state.switches.unknown_entities == "null":
        return None
    known = entity_ids(query.entity, query.account, state.world)
    for id_ in query.entity_ids:
        if id_ not in known:
            message = _ENTITY_MISSING.format(entity=query.entity.lower(), value=id_)
            code = ENTITY_NOT_FOUND.get(query.entity, spec.NOT_FOUND)
            return Problem(code, message, "entity_ids")
    return None


def entity_ids(entity: str, account: str, world: World) -> dict[str, list[str]]:
    """Return the line items of each entity of a kind. The emulator has no promoted tweets."""
    found: dict[str, list[str]] = {}
    if entity == "ACCOUNT":
        found[account] = []
    elif entity == "FUNDING_INSTRUMENT":
        instruments = world.funding_instruments.values()
        found = {entry.id: [] for entry in instruments if entry.account == account}
    elif entity == "CAMPAIGN":
        found = {
            campaign.id: []
            for campaign in world.campaigns.values()
            if world.funding_instruments[campaign.funding_instrument].account == account
        }
    for line_item in world.line_items.values():
        instrument = world.instrument_of(line_item.id)
        if instrument.account == account:
            name = {
                "ACCOUNT": account,
                "FUNDING_INSTRUMENT": instrument.id,
                "CAMPAIGN": line_item.campaign,
                "LINE_ITEM": line_item.id,
            }.get(entity)
            if name is not None:
                found.setdefault(name, []).append(line_item.id)
    return found


def _group_problems(entity: str, groups: Sequence[str]) -> list[Problem]:
    offered = GROUPS_OF.get(entity, tuple(GROUPS))
    return [
        invalid(_NOT_OFFERED, "metric_groups", group, entity=entity)
        for group in groups
        if group not in offered
    ]


def _segmentation_problems(
    segmentation: str | None, groups: Sequence[str], pairs: Mapping[str, str], *, is_job: bool
) -> list[Problem]:
    if segmentation is None:
        return []
    if not is_job:
        return [invalid(_SYNC_ONLY, "segmentation_type")]
    if segmentation == "METROS" and not pairs.get("country"):
        return [missing("country")]
    if segmentation == "CONVERSION_TAGS" and set(groups) != {"WEB_CONVERSION"}:
        return [invalid(_NOT_COMPATIBLE, "segmentation_type", segmentation)]
    return []


def metrics_of(groups: Sequence[str]) -> list[str]:
    """Return the other metrics of the groups; those of WEB_CONVERSION are objects."""
    conversions = set(CONVERSION_METRICS.values())
    return [name for group in groups for name in GROUPS[group] if name not in conversions]
