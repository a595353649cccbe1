"""The shape of X's own request, as X documents it; amounts are read from their text.

Fields that stand in none of these are ignored.
"""

import msgspec


class XIdentifier(msgspec.Struct, frozen=True, omit_defaults=True):
    twclid: str | None = None
    hashed_email: str | None = None
    hashed_phone_number: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    twpid: str | None = None

    def __repr__(self) -> str:
        return "XIdentifier(***)"


class XContent(msgspec.Struct, frozen=True, omit_defaults=True):
    content_id: str | int | None = None
    content_group_id: str | int | None = None
    content_name: str | None = None
    content_price: msgspec.Raw = msgspec.Raw(b"null")
    content_type: str | None = None
    num_items: int | None = None


class XConversion(msgspec.Struct, frozen=True, omit_defaults=True):
    conversion_time: str | None = None
    conversion_timestamp: int | str | None = None
    event_id: str | None = None
    event_name: str | None = None
    identifiers: list[XIdentifier] | None = None
    conversion_id: str | int | None = None
    value: msgspec.Raw = msgspec.Raw(b"null")
    price_currency: str | None = None
    number_items: int | None = None
    description: str | None = None
    search_string: str | None = None
    event_source_url: str | None = None
    contents: list[XContent] | None = None
    restricted_data_use: str | None = None

    def __repr__(self) -> str:
        return "XConversion(***)"


class XRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    conversions: list[XConversion]
