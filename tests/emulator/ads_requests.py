"""An account with two campaigns, and requests for what X says about it."""

from calendar import timegm
from datetime import datetime
from random import Random

from x_requests import ACCOUNT, ADS, NOW, Time, a_conversion, a_judge, a_request, reply, signed

from twite_emulator.analytics.truth import truth

CLICK = "2-3k9x0abcd1efgh2ijkl3mnop4q"
EMAIL = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514"  # user@example.com
_NONCES = Random(1)


def at(text):
    """Epoch seconds of a time in UTC, such as 2026-11-20T10:00."""
    return timegm(datetime.fromisoformat(text).timetuple())


def a_world(*, timezone="Europe/London", **line_item):
    """Two campaigns, each with one line item: li1 of c1, li2 of c2."""
    return {
        "accounts": [{"id": ACCOUNT, "timezone": timezone}],
        "campaigns": [
            {"id": "c1", "funding_instrument": "lygyi", "name": "Autumn"},
            {"id": "c2", "funding_instrument": "lygyi", "name": "Winter"},
        ],
        "line_items": [
            {"id": "li1", "campaign": "c1"} | line_item,
            {"id": "li2", "campaign": "c2"},
        ],
    }


def an_advertiser(*switches, now=NOW, timezone="Europe/London", **line_item):
    judge = a_judge(*switches, clock=Time(now))
    judge.world.merge(a_world(timezone=timezone, **line_item))
    return judge


def plant(judge, **ads):
    return judge.ads.plant(ads, judge.world, at=judge.now())


def click(line_item="li1", when="2026-11-20T10:00", **more):
    return {"line_item": line_item, "at": at(when), "twclid": CLICK} | more


def convert(judge, when="2026-11-20T12:00", **changes):
    """The status of a conversion at a time; of the click CLICK, by default."""
    conversion = a_conversion(
        conversion_time=f"{when}:00.000Z",
        value="20.00",
        price_currency="EUR",
        identifiers=[{"twclid": CLICK}],
        conversion_id=f"order-{when}",
    )
    return judge.answer(a_request(conversion | changes)).answer.status


def ask(judge, path, *, method="GET", version="12", **pairs):
    """(status, document) of a signed request; the pairs are its query."""
    answer = answer_to(judge, path, method=method, version=version, **pairs)
    return reply(answer)


def answer_to(judge, path, *, method="GET", version="12", **pairs):
    query = "&".join(f"{name}={value}" for name, value in pairs.items() if value is not None)
    address = "/".join(part for part in (ADS, version, path) if part)
    address += ("&" if "?" in path else "?") + query if query else ""
    request = signed(method, address, at=judge.now(), nonce=f"n{_NONCES.getrandbits(64)}")
    return judge.answer(request).answer


def a_query(**changes):
    return {
        "entity": "LINE_ITEM",
        "entity_ids": "li1",
        "start_time": "2026-11-20T00:00:00Z",
        "end_time": "2026-11-21T00:00:00Z",
        "granularity": "TOTAL",
        "placement": "ALL_ON_TWITTER",
        "metric_groups": "WEB_CONVERSION",
    } | changes


def stats(judge, **changes):
    return ask(judge, f"stats/accounts/{ACCOUNT}", **a_query(**changes))


def metrics(judge, **changes):
    """The metrics of the first entity."""
    status, document = stats(judge, **changes)
    assert status == 200, document
    return document["data"][0]["id_data"][0]["metrics"]


def purchases(judge, **changes):
    return metrics(judge, **changes)["conversion_purchases"]


def rows_of(judge, **only):
    return truth(only, judge.state())["rows"]


def errors(answer):
    status, document = answer
    found = [(error["code"], error.get("parameter")) for error in document["errors"]]
    return status, found
