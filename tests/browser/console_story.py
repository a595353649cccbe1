"""A day at a shop that creates some content for every console page about conversions."""

import asyncio
import hashlib
import time
from collections.abc import Iterator

import aiohttp
from console_pages import KEY, ConsoleStage

from twite.domain.times import DAY, spelled

BIDI = "\u202egnihton\u202c"
SCRIPT = "<script>document.title='taken'</script>"
FORMULA = '=HYPERLINK("https://evil.example","click")'
IMAGE = '"><img src=x onerror=alert(1)>'
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
# The emulator is set to refuse conversions older than a week.
SWITCHES = ("max_age=604800",)
REFUSED = 4
HELD = 3


async def play_story(stage: ConsoleStage) -> None:
    """Run the story, and wait until nothing is pending."""
    url = stage.gateway.url
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for several in (
            *_typical(),
            _with_invalid_identifiers(),
            _with_unusual_amounts(),
            _old(),
            _hostile(),
            _repeated(),
        ):
            body = {"conversions": several}
            async with http.post(f"{url}/v1/conversions", json=body) as answer:
                assert answer.status == 202, await answer.text()
        for _ in range(300):
            async with http.get(f"{url}/v1/accounting") as answer:
                if (await answer.json())["pending"] == 0:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("the orders do not land")


async def send_held(stage: ConsoleStage, event: str) -> None:
    """Send three conversions whose event X does not know, and wait until they are held."""
    conversions = [
        {"event": event, "conversion_id": f"order-{number}", "email": "a@shop.de"}
        for number in range(HELD)
    ]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        url = stage.gateway.url
        async with http.post(f"{url}/v1/conversions", json={"conversions": conversions}) as answer:
            assert answer.status == 202, await answer.text()
        for _ in range(300):
            async with http.get(f"{url}/v1/accounting") as answer:
                if (await answer.json())["held"] == HELD:
                    return
            await asyncio.sleep(0.1)
    raise AssertionError("the conversions are not held")


def _repeated() -> list[dict[str, object]]:
    return [_order(0), _order(1)]


def _order(number: int, **said: object) -> dict[str, object]:
    order = {
        "event": "purchase",
        "conversion_id": f"order-{1000 + number}",
        "value": f"{35 + number * 7 % 31}.90",
        "currency": "EUR",
        "twclid": f"23opevjt88psuo13lu8d{number:06d}",
    }
    if number % 3 == 0:
        order["email"] = f"buyer{number}@shop.de"
    if number % 4 == 0:
        order["phone"] = f"+44 20 7946 {number:04d}"
    if number % 2 == 0:
        order |= {"ip": f"203.0.113.{number % 250}", "user_agent": AGENT}
    return order | said


def _typical() -> Iterator[list[dict[str, object]]]:
    for batch in range(3):
        yield [_order(batch * 40 + number) for number in range(40)]
    yield [
        {"event": "sign_up", "conversion_id": f"member-{number}", "email": f"m{number}@shop.de"}
        for number in range(20)
    ]


def _with_invalid_identifiers() -> list[dict[str, object]]:
    digest = hashlib.sha256(b"anna@shop.de").hexdigest()
    nothing = hashlib.sha256(b"").hexdigest()
    return [
        _order(200, phone="12"),
        _order(201, phone="020 7946"),
        _order(202, email="none(at)shop"),
        _order(203, email="noreply@shop.de"),
        _order(204, email_sha256=digest.upper()),
        _order(205, email_sha256=hashlib.sha256(nothing.encode()).hexdigest()),
        _order(206, ip="10.0.0.7", user_agent=AGENT),
        _order(207, twclid=f"1.{time.time_ns() // 1_000_000 - 40 * DAY}.23opevjt88psuo13lu8d"),
    ]


def _with_unusual_amounts() -> list[dict[str, object]]:
    return [
        _order(300, value="4990"),
        _order(301, value="0"),
        _order(302, value="250000.00"),
        _order(303, currency="USD"),
    ]


def _old() -> list[dict[str, object]]:
    """Return conversions that X refuses individually."""
    now = time.time_ns() // 1_000_000
    return [
        _order(400 + number, time=spelled(now - (8 + number) * DAY)) for number in range(REFUSED)
    ]


def _hostile() -> list[dict[str, object]]:
    return [
        _order(500, conversion_id=SCRIPT, description=SCRIPT, search=SCRIPT),
        _order(501, conversion_id=FORMULA, description=FORMULA),
        _order(502, conversion_id=f"order{BIDI}", description=f"a{BIDI}b"),
        _order(503, conversion_id=IMAGE, user_agent="<svg onload=x>"),
    ]
