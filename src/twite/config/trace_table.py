"""The table `[traces]`."""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.config import values
from twite.config.kinds import Number, Text, setting
from twite.domain.secret import Secret

_MOST: Final = 1_000_000


class TraceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Without an `endpoint`, nothing is traced."""

    endpoint: str | None = setting(
        None,
        "URL of a collector that receives traces by OTLP over HTTP; `/v1/traces` is added",
        Text(values.url),
        example="http://127.0.0.1:4318",
    )
    one_in: int = setting(1, "traces one request in this many", Number(1, _MOST))
    headers: Mapping[str, Secret] = setting(
        {}, "headers of each request to the collector, as a table from name to secret"
    )
