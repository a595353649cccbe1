"""Who is on the other side of a request."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """What the request itself says of the person, beside what its events do.

    A browser's request has its own address, user agent, page (`referer`) and cookies; what its
    events claim of the first two is not believed, nor a value above `value_limit`. A server's,
    which shows a key, says nothing of the person: then `trusted` is true, and the events are
    believed. `opted_out` is `Sec-GPC: 1`; `now` is in milliseconds. It does not print.
    """

    trusted: bool = False
    ip: str | None = None
    user_agent: str | None = None
    referer: str | None = None
    cookies: Mapping[str, str] = msgspec.field(default_factory=dict)
    opted_out: bool = False
    value_limit: Decimal | None = None
    now: int = 0

    def __repr__(self) -> str:
        return f"Visitor(trusted={self.trusted}, ***)"


SERVER: Final = Visitor(trusted=True)
