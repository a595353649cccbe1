"""X's lists of an ads account: details, campaigns, line items, funding instruments. [doc CM]"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.results.account import AdCampaign, AdLineItem
from twite.x.inquiry import decoded

# States of line items that do not run; the other one is ACTIVE. [doc CM]
_INACTIVE: Final = frozenset({"PAUSED", "DRAFT"})


class AdsAccountDetails(msgspec.Struct, frozen=True, kw_only=True):
    """`timezone` is an IANA name, in use since `timezone_switch_at`."""

    timezone: str = "UTC"
    timezone_switch_at: str | None = None


class _Account(msgspec.Struct, frozen=True):
    details: AdsAccountDetails = msgspec.field(name="data")


class WrittenCampaign(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str | None = None
    currency: str | None = None
    funding_instrument_id: str | None = None

    def known(self, currencies: Mapping[str, str]) -> AdCampaign:
        """Return the campaign. `currencies` are those of funding instruments."""
        currency = self.currency or currencies.get(self.funding_instrument_id or "", "")
        return AdCampaign(id=self.id, name=self.name or "", currency=currency)


class _WrittenLineItem(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    campaign_id: str = ""
    name: str | None = None
    primary_web_event_tag: str | None = None
    entity_status: str | None = None


class _WrittenInstrument(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    currency: str = ""


class CampaignPage(msgspec.Struct, frozen=True, kw_only=True):
    data: tuple[WrittenCampaign, ...]
    next_cursor: str | None = None


class _LineItemPage(msgspec.Struct, frozen=True, kw_only=True):
    data: tuple[_WrittenLineItem, ...]
    next_cursor: str | None = None


class LineItemPage(msgspec.Struct, frozen=True, kw_only=True):
    data: tuple[AdLineItem, ...]
    next_cursor: str | None = None


class InstrumentPage(msgspec.Struct, frozen=True, kw_only=True):
    data: tuple[_WrittenInstrument, ...]
    next_cursor: str | None = None


def read_details(body: bytes) -> AdsAccountDetails | None:
    read = decoded(body, _Account)
    return None if read is None else read.details


def read_campaigns(body: bytes) -> CampaignPage | None:
    return decoded(body, CampaignPage)


def read_line_items(body: bytes) -> LineItemPage | None:
    read = decoded(body, _LineItemPage)
    if read is None:
        return None
    items = (
        AdLineItem(
            id=item.id,
            campaign=item.campaign_id,
            name=item.name or "",
            event=item.primary_web_event_tag,
            is_active=item.entity_status not in _INACTIVE,
        )
        for item in read.data
    )
    return LineItemPage(data=tuple(items), next_cursor=read.next_cursor)


def read_instruments(body: bytes) -> InstrumentPage | None:
    return decoded(body, InstrumentPage)
