"""Made-up orders, as a shop's server would post them: about 700 bytes each.

Addresses are at .alt, which is nobody's in the DNS (RFC 9476): those at example.com would count as
placeholders, and an order in a shop is none.
"""

import base64
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache

CLICK_ID = "2-3k9x0abcd1efgh2ijkl3mnop4q"
USER_AGENT = (
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Mobile Safari/537.36"
)


def order(number: int) -> dict[str, object]:
    return {
        "event": "purchase",
        "conversion_id": f"bench-{number}",
        "time": "2026-11-24T10:00:00.000Z",
        "value": "49.90",
        "currency": "EUR",
        "email": f"Shopper{number}@Shop.alt",
        "phone": f"+44207946{number % 1_000:04d}",
        "twclid": CLICK_ID,
        "ip": f"203.0.113.{number % 256}",
        "user_agent": USER_AGENT,
        "url": "https://shop.example/thanks",
        "contents": [
            {"id": "SKU-1", "name": "Mug", "price": "24.95", "quantity": 2, "group": "mugs"}
        ],
    }


@cache
def tc_string(visitor: int, vendors: int = 900) -> str:
    """Return a TC string that allows all purposes, and about half of so many vendors."""
    randomness = random.Random(visitor)  # noqa: S311  the same strings each time
    today = int(time.time() * 10) // 864_000 * 864_000
    fields = [
        (2, 6), (today, 36), (today, 36), (300, 12), (1, 12), (1, 6), (4, 6), (13, 6), (200, 12),
        (5, 6), (1, 1), (0, 1), (0, 12), ((1 << 24) - 1, 24), (0, 24), (0, 1), (6, 6), (3, 6),
    ]  # fmt: skip
    for _ in ("consent", "legitimate interest"):
        fields += [(vendors, 16), (0, 1), (randomness.getrandbits(vendors), vendors)]
    fields.append((0, 12))
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 24)
    packed = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return base64.urlsafe_b64encode(packed).decode()


def pixel_of(number: int) -> str:
    return f"o9{number:03}"


Change = Callable[[dict[str, object], int], None]


def _unchanged(_order: dict[str, object], _number: int) -> None:
    pass


def _rejected(one_of: int) -> Change:
    def change(order: dict[str, object], number: int) -> None:
        if number % one_of == 0:
            order["event"] = "no_such_event"

    return change


def _with_tcf(order: dict[str, object], number: int) -> None:
    order["consent"] = {"tcf": tc_string(number % 100_000)}


def _of_pixels(pixels: int) -> Change:
    return lambda order, number: order.update(pixel=pixel_of(number % pixels))


def _repeated(order: dict[str, object], number: int) -> None:
    order["conversion_id"] = f"bench-repeated-{number % 1_000}"


def _of_segment(order: dict[str, object], number: int) -> None:
    """Change an order to the same order as a call of Segment's SDK for servers."""
    line = order["contents"][0]  # type: ignore[index]
    call = {
        "type": "track",
        "event": "Order Completed",
        "userId": f"user-{number}",
        "messageId": f"message-{number}",
        "timestamp": order["time"],
        "properties": {
            "order_id": order["conversion_id"],
            "total": 49.90,
            "currency": "EUR",
            "products": [
                {"product_id": line["id"], "name": line["name"], "price": 24.95, "quantity": 2}
            ],
        },
        "context": {
            "ip": order["ip"],
            "userAgent": order["user_agent"],
            "page": {"url": f"{order['url']}?twclid={CLICK_ID}"},
            "traits": {"email": order["email"], "phone": order["phone"]},
            "library": {"name": "analytics-python", "version": "2.4.0"},
        },
        "integrations": {},
    }
    order.clear()
    order.update(call)


# What an order of this shape has, where the usual one has it not.
SHAPES: Mapping[str, Change] = {
    "usual": _unchanged,
    "rejected-1": _rejected(100),
    "rejected-50": _rejected(2),
    "tcf": _with_tcf,
    "duplicates": _repeated,
    "pixels-100": _of_pixels(100),
    "pixels-500": _of_pixels(500),
    "segment": _of_segment,
    "tags-1": _unchanged,
    "tags-10": _unchanged,
}


# The path and the name of the list, of shapes that are no native conversions.
_ROUTES: Mapping[str, tuple[str, str]] = {"segment": ("/v1/batch", "batch")}


def route_of(shape: str) -> tuple[str, str]:
    return _ROUTES.get(shape, ("/v1/conversions", "conversions"))


def bodies(first: int, requests: int, each: int, shape: str = "usual") -> Iterator[bytes]:
    """Yield request bodies. A conversion id is used once, unless the shape repeats it."""
    change, (_, listed) = SHAPES[shape], route_of(shape)
    for request in range(requests):
        start = first + request * each
        orders = []
        for number in range(start, start + each):
            orders.append(order(number))
            change(orders[-1], number)
        yield json.dumps(orders[0] if each == 1 else {listed: orders}).encode()


def batch_for_x(many: int) -> list[dict[str, object]]:
    """Return so many equal conversions, as a request to X has them."""
    conversion: dict[str, object] = {
        "conversion_time": "2026-11-24T10:00:00.000Z",
        "event_id": "o8z6k",
        "identifiers": [{"twclid": CLICK_ID}, {"hashed_email": "0" * 64}],
        "value": "49.90",
        "price_currency": "EUR",
        "event_source_url": "https://shop.example/thanks",
        "contents": [{"content_id": "SKU-1", "content_price": "24.95", "num_items": 2}],
        "description": "x" * 200,
    }
    return [conversion] * many
