"""Read the orders of a WooCommerce shop by its REST API v3, oldest change first.

Pages would shift if an order changed between two requests, so each request begins after the last
change that was read. Orders changed within that second are read again. [seen: the controllers of
WooCommerce's REST API]
"""

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import aiohttp
import msgspec

from twite.domain.errors import OperatorError
from twite.domain.fault import Fault
from twite.domain.secret import Secret
from twite.domain.times import LATEST, SECOND, moment
from twite.senders.http import read_into

PATH: Final = "/wp-json/wc/v3/orders"
PER_PAGE: Final = 100  # the API's limit
_LONGEST_PAGE: Final = 64 * 1024 * 1024
_TIMEOUT: Final = aiohttp.ClientTimeout(total=120, sock_connect=10)
_ORDERS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_AGAIN: Final = "Run the same command again to continue"
_WHY: Final = {
    401: "the shop refuses the consumer key. Create one with read access in WooCommerce, "
    "Settings, Advanced, REST API, and set consumer_key and consumer_secret",
    403: "the consumer key may not read orders. Its user needs the role of a shop manager",
    404: f"the shop has no {PATH}. Check shop_url, and that WordPress's permalinks are not "
    '"Plain"',
}


class ShopUnreadable(OperatorError):
    """The shop's orders cannot be read. The message never contains the keys."""


class ShopAccess(msgspec.Struct, frozen=True, kw_only=True):
    """The address of a shop, and a key of its REST API."""

    url: str
    consumer_key: str
    consumer_secret: Secret


class _Dates(msgspec.Struct, frozen=True):
    id: int
    date_modified_gmt: str | None = None


class ChangedOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as JSON. `changed_at` is in milliseconds."""

    id: int
    changed_at: int
    body: bytes

    @property
    def state(self) -> tuple[int, int]:
        """Two equal states are the same version of an order."""
        return self.id, self.changed_at


async def changed_orders(
    session: aiohttp.ClientSession, access: ShopAccess, *, since: int
) -> AsyncIterator[list[ChangedOrder]]:
    """Yield the orders changed after a time (ms), a page at a time. Raises ShopUnreadable."""
    page, known = 1, set[tuple[int, int]]()
    while True:
        orders, is_last = await _page(session, access, since=since, page=page)
        fresh = [order for order in orders if order.state not in known]
        if page > 1 and orders and not fresh:
            raise ShopUnreadable(
                "the shop returns the same page of orders again. A cache may answer in its place"
            )
        yield fresh
        if is_last:
            return
        states = {order.state for order in orders}
        # The API's times are in seconds, and it returns only later ones.
        latest = orders[-1].changed_at - SECOND
        if latest > since:
            since, page, known = latest, 1, states
        else:
            # More orders than a page has were changed within one second.
            page, known = page + 1, known | states


async def _page(
    session: aiohttp.ClientSession, access: ShopAccess, *, since: int, page: int
) -> tuple[list[ChangedOrder], bool]:
    """Return a page of orders, and whether it is the last one."""
    query = {
        "modified_after": datetime.fromtimestamp(since // SECOND, UTC).strftime(
            "%Y-%m-%dT%H:%M:%S"
        ),
        "dates_are_gmt": "true",
        "orderby": "modified",
        "order": "asc",
        "per_page": str(PER_PAGE),
        "page": str(page),
    }
    auth = b64encode(f"{access.consumer_key}:{access.consumer_secret.reveal()}".encode()).decode()
    body = bytearray()
    try:
        async with session.get(
            access.url.rstrip("/") + PATH,
            params=query,
            headers={"Authorization": f"Basic {auth}"},
            # Another host would get the key.
            allow_redirects=False,
            timeout=_TIMEOUT,
        ) as response:
            is_whole = await read_into(body, response, most=_LONGEST_PAGE)
            status, pages = response.status, response.headers.get("X-WP-TotalPages", "")
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ShopUnreadable(
            f"the shop at {access.url} does not answer ({type(error).__name__}). {_AGAIN}"
        ) from None
    if status != 200:
        raise ShopUnreadable(_why(status))
    orders = _orders(bytes(body), since) if is_whole else None
    if orders is None:
        raise ShopUnreadable(
            f"{access.url}{PATH} did not return a list of orders. Open this address: a plugin or a "
            "maintenance page may answer in its place"
        )
    times = [order.changed_at for order in orders]
    if times != sorted(times):
        raise ShopUnreadable(
            "the shop does not sort orders by their last change. Update WooCommerce"
        )
    is_last = page >= int(pages) if pages.isdecimal() else len(orders) < PER_PAGE
    return orders, is_last or not orders


def _orders(body: bytes, since: int) -> list[ChangedOrder] | None:
    """Return the orders; one without a time has that of the one before it."""
    orders: list[ChangedOrder] = []
    try:
        for order in _ORDERS.decode(body):
            before = orders[-1].changed_at if orders else since
            orders.append(_order(bytes(order), before))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return orders


def _order(body: bytes, before: int) -> ChangedOrder:
    dates = msgspec.json.decode(body, type=_Dates)
    changed_at = moment(f"{dates.date_modified_gmt}Z", now=LATEST, path="date_modified_gmt")
    return ChangedOrder(
        id=dates.id, changed_at=before if isinstance(changed_at, Fault) else changed_at, body=body
    )


def _why(status: int) -> str:
    if 300 <= status < 400:
        return (
            f"the shop redirects ({status}), and Twite does not send its key to another address. "
            "Set shop_url to the address that the shop redirects to"
        )
    return _WHY.get(status) or f"the shop answered with {status}. {_AGAIN}"
