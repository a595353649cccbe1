"""Settings of the cookie that stores a click id."""

from typing import Final

import msgspec

DEFAULT_DAYS: Final = 90  # as Stape's tag keeps it [seen ST]; X attributes no click for longer


class ClickCookie(msgspec.Struct, frozen=True, kw_only=True):
    """`names` are the cookies that are set, `days` how long from the click on they are kept.

    With `http_only` no script can read them, and the gateway takes them from the request; X's own
    cookie is left readable, since it is X's script that reads it. `client_id` is whether Stape's
    Data Tag has its client id kept, as by Stape's own client.
    """

    names: tuple[str, ...] = ("_twite",)
    days: int = DEFAULT_DAYS
    http_only: bool = False
    client_id: bool = True
