"""The visitor behind a request, as the request itself tells: address, user agent, cookies."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the request itself, beside its events' claims.

    A browser's request has its own address, user agent, page (`referer`) and cookies; its events'
    claims of the first two are not trusted, nor is a value above `value_limit`. A server's request,
    which carries a key, has no visitor: then `trusted` is true, and the events' claims are used.
    `opted_out` is `Sec-GPC: 1`; `now` is in milliseconds. Its repr is masked.
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
