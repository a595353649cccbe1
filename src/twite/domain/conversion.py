"""Conversion: one action of a person, in canonical form."""

import msgspec

from twite.domain.identifiers import Identifiers


class Content(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One line of a basket. `price` is a decimal string in the conversion's currency."""

    id: str | None = None
    name: str | None = None
    price: str | None = None
    quantity: int | None = None
    group: str | None = None
    type: str | None = None


class Conversion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A canonical, hashed, complete conversion: everything that may be sent to X.

    `event` is X's event id in base 36, or an event name that begins with `gtm_`; `time` is in
    milliseconds since the epoch; `value` is a decimal string that always comes with a currency.
    Its JSON leaves out what is None: ids are derived from it, and a new field must not change them.
    """

    pixel: str
    event: str
    conversion_id: str
    time: int
    identifiers: Identifiers
    value: str | None = None
    currency: str | None = None
    quantity: int | None = None
    description: str | None = None
    search: str | None = None
    url: str | None = None
    contents: tuple[Content, ...] = ()
    restricted_data_use: str | None = None

    def __repr__(self) -> str:
        return f"Conversion({self.pixel}, {self.event}, {self.conversion_id}, {self.identifiers!r})"
