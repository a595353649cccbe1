"""The demo's campaigns: some of its orders are attributed to them."""

import time

from twite.cli.demo.campaigns import OWN_CLICK, advertise, click_ads
from twite.cli.demo.shop import send

TOKEN = {"X-Pixel-Token": "emulator-pixel-token-o8z6j"}


def order(emulator, twclid, when):
    """Send an order of 10 EUR at a time, in ISO 8601."""
    conversion = {
        "conversion_time": when,
        "event_id": "o8z6k",
        "identifiers": [{"twclid": twclid}],
        "conversion_id": f"{twclid}-{when}",
        "value": "10.00",
        "price_currency": "EUR",
    }
    path = "/12/measurement/conversions/o8z6j"
    send(emulator.url, "POST", path, {"conversions": [conversion]}, TOKEN)


def test_every_third_order_of_the_demo_is_attributed_to_a_campaign(x_emulator):
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    older = "2026-11-22T06:06:31.886Z"
    buyers = [{"twclid": f"2-buyer{number}"} for number in range(6)]
    rows = [{"twclid": f"2-older{number}", "created_at": older} for number in range(3)]
    rows += [{"twclid": f"2-never{number}", "created_at": "soon"} for number in range(3)]

    advertise(x_emulator)
    click_ads(x_emulator, buyers, rows)
    for row in (*buyers, *rows, {"twclid": OWN_CLICK}):
        order(x_emulator, row["twclid"], now if "buyer" in row["twclid"] else older)
    order(x_emulator, OWN_CLICK, now)

    found = x_emulator.truth()["rows"]
    attributed = {}
    for row in found:
        for figures in row["events"].values():
            key = row["line_item"]
            attributed[key] = attributed.get(key, 0) + figures["attributed"]
    assert attributed == {"itttx": 2, "ittty": 2}
    assert len({row["day"] for row in found if row["spend_micro"]}) == 14
