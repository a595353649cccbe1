"""Lists of an account: funding instruments, campaigns and line items."""

from collections.abc import Mapping
from typing import Final

from twite_emulator.exchange import Problem, XAnswer, json_answer, refusal, utc
from twite_emulator.listing import listing_of
from twite_emulator.state import EmulatedState
from twite_emulator.world import (
    EmulatedCampaign,
    EmulatedFundingInstrument,
    EmulatedLineItem,
    World,
)

# The parameters of each list that contain ids, and whose. The first has those of its own entries.
LISTS: Final[Mapping[str, tuple[str, ...]]] = {
    "funding_instruments": ("funding_instrument_ids",),
    "campaigns": ("campaign_ids", "funding_instrument_ids"),
    "line_items": ("line_item_ids", "campaign_ids", "funding_instrument_ids"),
}
_MISSING: Final = "{kind} ({value}) was not found"
Entry = EmulatedFundingInstrument | EmulatedCampaign | EmulatedLineItem


def answer_list(kind: str, pairs: Mapping[str, str], account: str, state: EmulatedState) -> XAnswer:
    listing = listing_of(pairs, LISTS[kind])
    if isinstance(listing, Problem):
        return refusal(400, listing, account_id=account)
    world = state.world
    entries = [
        entry
        for entry in _entries(kind, account, world)
        if all(id_ in listing.ids.get(name, (id_,)) for name, id_ in _parents(entry, world).items())
        and (listing.with_draft or getattr(entry, "entity_status", "") != "DRAFT")
    ]
    return listing.answer(entries, LISTS[kind][0], lambda entry: _shown(entry, world), account)


def answer_entity(kind: str, id_: str, account: str, state: EmulatedState) -> XAnswer:
    """Return one entry of a list."""
    name = kind.removesuffix("s")
    for entry in _entries(kind, account, state.world):
        if entry.id == id_:
            params = {f"{name}_id": id_, "account_id": account}
            shown = _shown(entry, state.world)
            return json_answer(200, {"data": shown, "request": {"params": params}})
    message = _MISSING.format(kind=name, value=id_)
    return refusal(404, Problem(f"{name.upper()}_NOT_FOUND", message), account_id=account)


def _entries(kind: str, account: str, world: World) -> list[Entry]:
    every: Mapping[str, list[Entry]] = {
        "funding_instruments": list(world.funding_instruments.values()),
        "campaigns": list(world.campaigns.values()),
        "line_items": list(world.line_items.values()),
    }
    return [entry for entry in every[kind] if _instrument(entry, world).account == account]


def _instrument(entry: Entry, world: World) -> EmulatedFundingInstrument:
    if isinstance(entry, EmulatedFundingInstrument):
        return entry
    if isinstance(entry, EmulatedLineItem):
        entry = world.campaigns[entry.campaign]
    return world.funding_instruments[entry.funding_instrument]


def _parents(entry: Entry, world: World) -> dict[str, str]:
    """Return the ids that the parameters of a list select by, without the entry's own."""
    if isinstance(entry, EmulatedFundingInstrument):
        return {}
    parents = {"funding_instrument_ids": _instrument(entry, world).id}
    if isinstance(entry, EmulatedLineItem):
        parents["campaign_ids"] = entry.campaign
    return parents


def _shown(entry: Entry, world: World) -> dict[str, object]:
    instrument = _instrument(entry, world)
    if isinstance(entry, EmulatedCampaign):
        shown = _shown_campaign(entry, instrument)
    elif isinstance(entry, EmulatedLineItem):
        shown = _shown_line_item(entry, instrument)
    else:
        shown = _shown_instrument(entry)
    return {
        **shown,
        "id": entry.id,
        "currency": instrument.currency,
        "created_at": utc(entry.created_at),
        "updated_at": utc(entry.created_at),
        "deleted": entry.deleted,
    }


def _shown_instrument(instrument: EmulatedFundingInstrument) -> dict[str, object]:
    return {
        "start_time": utc(instrument.created_at),
        "description": instrument.description,
        "credit_limit_local_micro": None,
        "end_time": None,
        "entity_status": "ACTIVE",
        "account_id": instrument.account,
        "reasons_not_able_to_fund": [],
        "io_header": None,
        "funded_amount_local_micro": None,
        "type": "CREDIT_CARD",
        "able_to_fund": True,
        "credit_remaining_local_micro": None,
    }


def _shown_campaign(
    campaign: EmulatedCampaign, instrument: EmulatedFundingInstrument
) -> dict[str, object]:
    is_active = campaign.entity_status == "ACTIVE"
    return {
        "name": campaign.name,
        "budget_optimization": "CAMPAIGN",
        "reasons_not_servable": [] if is_active else ["PAUSED_BY_ADVERTISER"],
        "servable": is_active,
        "purchase_order_number": None,
        "effective_status": "RUNNING" if is_active else "PAUSED",
        "daily_budget_amount_local_micro": None,
        "funding_instrument_id": instrument.id,
        "duration_in_days": None,
        "standard_delivery": True,
        "total_budget_amount_local_micro": None,
        "entity_status": campaign.entity_status,
        "frequency_cap": None,
    }


def _shown_line_item(
    line_item: EmulatedLineItem, instrument: EmulatedFundingInstrument
) -> dict[str, object]:
    return {
        "advertiser_user_id": None,
        "name": line_item.name,
        "placements": line_item.placements,
        "start_time": utc(line_item.created_at),
        "bid_amount_local_micro": None,
        "advertiser_domain": None,
        "target_cpa_local_micro": None,
        "primary_web_event_tag": line_item.primary_web_event_tag,
        "goal": "WEBSITE_CONVERSIONS",
        "daily_budget_amount_local_micro": None,
        "product_type": "PROMOTED_TWEETS",
        "end_time": None,
        "funding_instrument_id": instrument.id,
        "bid_strategy": "AUTO",
        "duration_in_days": None,
        "standard_delivery": True,
        "total_budget_amount_local_micro": None,
        "objective": "WEBSITE_CLICKS",
        "entity_status": line_item.entity_status,
        "automatic_tweet_promotion": None,
        "frequency_cap": None,
        "android_app_store_identifier": None,
        "categories": [],
        "pay_by": "IMPRESSION",
        "ios_app_store_identifier": None,
        "campaign_id": line_item.campaign,
        "creative_source": "MANUAL",
    }
