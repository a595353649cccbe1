"""The script's queue: offline, on a page that is being left, and in several tabs."""

import asyncio

import pytest
from visitor import bought, left, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

BY_API = {"api": 1, "pixel": 0, "counted": 1}


@pytest.fixture
def page(site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    site.shop.page("/thanks", "", head=site.tag(data_pixel="off"))
    site.shop.page("/elsewhere", "")
    return site


async def test_purchase_made_offline_is_sent_when_online(visitor, page):
    # The next retry is so late that only the `online` event can cause the request.
    await visitor.context.add_init_script("Math.random = () => 1000")

    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-offline"))
    await visitor.waits_for_a_failure()
    await visitor.context.set_offline(False)

    await until(lambda: page.counted("order-offline") == BY_API)


async def test_failures_while_offline_do_not_delay_sending_when_online(visitor, page):
    # Make each wait between retries as long as possible.
    await visitor.context.add_init_script("Math.random = () => 1")
    # The browser reports `online` at once, which is too early for this test.
    await visitor.context.add_init_script(
        "addEventListener('online', (event) => event.isTrusted && event.stopImmediatePropagation())"
    )
    tried = "JSON.parse(localStorage[Object.keys(localStorage).find((key) => /^twite:/.test(key))])"

    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-patient"))
    for tries in range(1, 7):
        await visitor.page.wait_for_function(f"() => {tried}.tries >= {tries}")
        await visitor.does("document.dispatchEvent(new Event('visibilitychange'))")
    # `online` is reported shortly before the connection works.
    await visitor.does("dispatchEvent(new Event('online'))")
    await visitor.page.wait_for_function(f"() => {tried}.tries >= 8")
    await visitor.context.set_offline(False)

    await until(lambda: page.counted("order-patient") == BY_API)


async def test_request_without_a_response_does_not_block_the_next_conversion(visitor, page):
    await visitor.context.add_init_script(
        "const within = AbortSignal.timeout.bind(AbortSignal);"
        "AbortSignal.timeout = (time) => within(time / 40)"
    )
    asked = []

    async def first_never(route):
        asked.append(route)
        if len(asked) > 1:
            await route.continue_()

    await visitor.context.route("**/t?*", first_never)

    await visitor.goes_to("/")
    await visitor.does(bought("order-unanswered"))
    await until(lambda: page.counted("order-unanswered") == BY_API)

    assert [conversion.get("again") for conversion in visitor.conversions()] == [None, True]


async def test_purchase_made_offline_is_sent_from_the_next_page(visitor, page):
    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-next"))
    await visitor.waits_for_a_failure()
    await visitor.page.close()
    await visitor.context.set_offline(False)
    visitor.page = await visitor.other_tab()
    await visitor.goes_to("/thanks")

    await until(lambda: page.counted("order-next") == BY_API)


def respond_with(page, *answers, only=""):
    """Give these answers instead of the gateway's, readable by pages; then pass requests on."""
    left = list(answers)
    allowed = {
        "access-control-allow-origin": page.shop.origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "*, twite-verdict",
    }

    async def stand(route):
        if left and only in (route.request.post_data or ""):
            status, headers = left.pop(0)
            await route.fulfill(status=status, headers=allowed | headers, body="<h1>Sorry</h1>")
        else:
            await route.continue_()

    return stand


# Answers of a failing gateway, a restarting one, a firewall and a captive portal.
NOBODYS = [(status, {}) for status in (503, 429, 404, 403, 413, 400, 405, 502, 200, 204)]


async def test_conversion_without_a_verdict_of_the_gateway_is_sent_again(visitor, page):
    await visitor.context.add_init_script("Math.random = () => 0")
    await visitor.context.route("**/t?*", respond_with(page, *NOBODYS))

    await visitor.goes_to("/")
    await visitor.does(bought("order-undecided"))
    await until(lambda: page.counted("order-undecided") == BY_API)
    await visitor.wait_until_settled()

    said = [conversion.get("again") for conversion in visitor.conversions()]
    assert said == [None, *[True] * len(NOBODYS)]


async def test_conversion_with_a_final_refusal_is_dropped(visitor, page):
    await visitor.context.route(
        "**/t?*", respond_with(page, (413, {"twite-verdict": "final"}), (500, {}))
    )

    await visitor.goes_to("/")
    await visitor.does(bought("order-forgotten"))
    await visitor.sends()
    await visitor.wait_until_settled()

    assert (len(visitor.conversions()), await visitor.queued()) == (1, [])


async def test_conversion_that_a_firewall_refuses_does_not_block_others(visitor, page):
    await visitor.context.add_init_script("Math.random = () => 0.01")
    firewall = respond_with(page, *[(403, {})] * 10_000, only="order-refused")
    await visitor.context.route("**/t?*", firewall)

    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-refused"))
    await visitor.does(bought("order-beside"))
    await visitor.does(bought("order-behind"))
    await visitor.waits_for_a_failure()
    await visitor.context.set_offline(False)

    await until(lambda: page.counted("order-beside") == page.counted("order-behind") == BY_API)
    kept = [key.rpartition(" ")[2] for key in await visitor.queued()]
    assert (page.counted("order-refused")["api"], "order-refused" in kept) == (0, True)


async def test_conversion_that_the_gateway_rejects_does_not_block_others(visitor, page):
    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-good"))
    await visitor.does("twite('nothing_of_ours', {order_id: 'order-bad'})")
    await visitor.waits_for_a_failure()
    await visitor.context.set_offline(False)
    await visitor.wait_until_queue_is_empty()

    await until(lambda: page.counted("order-good") == BY_API)


async def test_conversion_is_sent_from_a_page_that_is_left_at_once(visitor, page):
    page.shop.page("/", "", head=page.tag())

    await visitor.goes_to("/")
    await visitor.does(f"{bought('order-left')}; location.href = '/elsewhere'; 0")

    await until(lambda: page.counted("order-left") == BY_API)


async def test_unloading_page_sends_with_a_beacon(visitor, page):
    page.shop.page("/", "", head=page.tag())

    await visitor.goes_to("/")
    await visitor.wait_until_idle()
    await visitor.does(f"{bought('order-ping')}; dispatchEvent(new Event('pagehide')); 0")
    await visitor.sends()

    assert [request.resource_type for request in visitor.requests if request.method == "POST"] == [
        "ping"
    ]


async def test_conversion_is_sent_from_a_tab_that_is_closed_at_once(visitor, page):
    page.shop.page("/", "", head=page.tag())

    await visitor.goes_to("/")
    await visitor.does(f"setTimeout(() => {{ {bought('order-closed')}; window.close(); }}, 0)")

    await until(lambda: page.counted("order-closed") == BY_API)


class SlowLine:
    """Delays each message; records the maximum number of concurrent messages."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    async def carry(self, route):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.3)
        self.now -= 1
        await route.continue_()


async def test_only_one_of_two_tabs_sends_at_a_time(visitor, page):
    line = SlowLine()
    await visitor.goes_to("/")
    other = await visitor.other_tab()
    await other.goto(page.shop.origin + "/thanks")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-tabs"))
    await visitor.waits_for_a_failure()
    await visitor.context.route("**/t?*", line.carry)
    await visitor.context.set_offline(False)
    await until(lambda: page.counted("order-tabs") == BY_API)
    await visitor.wait_until_settled()
    # Let a tab that still waits for the lock get it now.
    await other.evaluate("navigator.locks.request('twite', () => {})")

    # On a busy machine, the other tab may not know yet which conversions were sent, and sends a
    # duplicate.
    assert (line.most, page.counted("order-tabs")) == (1, BY_API)


async def test_thank_you_page_in_two_tabs_sends_once(visitor, page):
    page.shop.page(
        "/thanks", f"<script>{bought('order-twice')}</script>", head=page.tag(data_pixel="off")
    )

    await visitor.goes_to("/thanks")
    await visitor.wait_until_settled()
    other = await visitor.other_tab()
    await other.goto(page.shop.origin + "/thanks")
    await other.wait_for_load_state("networkidle")

    assert len(await visitor.sends()) == 1


async def test_queue_is_limited_and_drops_the_oldest(visitor, page):
    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(
        "for (let n = 0; n < 60; n++) twite('purchase', {order_id: n, email: 'a@example.com'})"
    )
    # Stored again after hashing.
    await visitor.page.wait_for_function(
        "() => Object.keys(localStorage).every((key) => !/^twite:/.test(key) ||"
        " (JSON.parse(localStorage[key]).until === 0 && !key.endsWith(' 0')))"
    )
    kept = [key.rpartition(" ")[2] for key in await visitor.queued()]

    assert (len(kept) <= 41, "59" in kept, "0" in kept) == (True, True, False)


async def test_backlog_is_sent_in_messages_of_limited_size(visitor, page):
    lines = "Array.from({length: 30}, (_, n) => ({id: n, name: 'x'.repeat(100)}))"
    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(
        "for (let n = 0; n < 25; n++) twite('purchase', {order_id: 'backlog-' + n,"
        f" email: 'a@example.com', contents: {lines}}})"
    )
    await visitor.waits_for_a_failure()
    visitor.requests.clear()
    await visitor.context.set_offline(False)
    await until(lambda: len(page.sent()) == 25)

    await visitor.sends(25)
    sizes = [len(request.post_data or "") for request in visitor.requests]
    assert (len(sizes) > 3, max(sizes) < 64_000) == (True, True)


async def test_purchase_with_contents_too_large_for_a_beacon_is_sent_without_them(visitor, page):
    lines = "Array.from({length: 900}, (_, n) => ({id: n, name: 'x'.repeat(100)}))"

    await visitor.goes_to("/")
    await visitor.does(
        f"twite('purchase', {{order_id: 'large', email: 'a@example.com', contents: {lines}}})"
    )
    await until(lambda: page.counted("large") == BY_API)

    assert "contents" not in page.sent()[0]


async def test_purchase_with_a_lone_surrogate_is_sent(visitor, page):
    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-beside-half"))
    await visitor.does(
        "twite('purchase', {order_id: 'order-half', email: 'a@example.com', search: '\\ud83d',"
        " contents: [{id: 'SKU-1', name: 'Mug \\ud83d\\ude00'.slice(0, -1) + '!', quantity: 1}]})"
    )
    await visitor.waits_for_a_failure()
    visitor.requests.clear()
    await visitor.context.set_offline(False)
    await until(lambda: page.counted("order-half") == page.counted("order-beside-half") == BY_API)

    said = {conversion["conversion_id"]: conversion for conversion in visitor.conversions()}
    assert said["order-half"]["contents"] == [{"id": "SKU-1", "name": "Mug !", "quantity": 1}]


async def test_queued_conversion_is_dropped_when_it_is_too_old(visitor, page):
    await visitor.goes_to("/elsewhere")
    for hours in (47, 49):
        conversion = (
            f"{{event: 'purchase', conversion_id: '{hours}', at: Date.now() - {hours} * 36e5,"
            " email: 'shopper@example.com'}"
        )
        await visitor.does(
            f"localStorage['twite:page:' + Date.now() + {hours}] = {left(conversion)}"
        )

    await visitor.goes_to("/")
    await until(lambda: page.counted("47") == BY_API)
    await visitor.wait_until_settled()

    # X recognizes duplicates only within 48 hours.
    assert [sent["conversion_id"] for sent in visitor.conversions()] == ["47"]


async def test_corrupt_queue_does_not_stop_the_script(visitor, page):
    await visitor.goes_to("/elsewhere")
    await visitor.does(
        "localStorage['twite:page:1764072000123'] = localStorage['twite.seen'] = '{'"
    )

    await visitor.goes_to("/")
    await visitor.does(bought("order-spoilt"))

    await until(lambda: page.counted("order-spoilt") == BY_API)


async def test_invalid_call_does_not_drop_other_calls(visitor, page):
    await visitor.goes_to("/")
    await visitor.context.set_offline(True)
    await visitor.does("twite({}, {email: 'a@example.com', value: {}, search: [], order_id: 5})")
    await visitor.does("twite('consent', {ad_personalization: ['granted']})")
    await visitor.does(bought("order-whole"))
    await visitor.waits_for_a_failure()
    await visitor.context.set_offline(False)

    await until(lambda: page.counted("order-whole") == BY_API)


async def test_time_of_a_conversion_is_correct_with_a_wrong_browser_clock(visitor, page):
    before = page.today()
    await visitor.context.add_init_script("const now = Date.now; Date.now = () => now() - 9e10")

    await visitor.goes_to("/")
    await visitor.does(bought("order-clock"))
    await until(lambda: page.counted("order-clock") == BY_API)

    await visitor.sends()
    [said] = visitor.beacons()
    assert 0 <= said["sent"] - said["conversions"][0]["at"] < 60_000
    assert before <= page.sent()[0]["conversion_time"][:10] <= page.today()
