"""Made-up orders, as a shop's server would post them: about 700 bytes each.

Addresses are at .alt, which is nobody's in the DNS (RFC 9476): those at example.com would count as
placeholders, and an order in a shop is none.
"""

import json
from collections.abc import Iterator

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


def bodies(first: int, requests: int, each: int) -> Iterator[bytes]:
    """Yield request bodies; a conversion id is never used twice."""
    for request in range(requests):
        start = first + request * each
        if each == 1:
            yield json.dumps(order(start)).encode()
        else:
            orders = [order(start + i) for i in range(each)]
            yield json.dumps({"conversions": orders}).encode()
