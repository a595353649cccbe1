"""analytics.js and RudderStack's SDK, unmodified, in pages of the shop."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from visitor import AGENT, TWCLID, until

from twite.domain.normalize import email_digest

PACKAGES = Path(__file__).parents[2] / ".node/node_modules"
RUDDERSTACK = PACKAGES / "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"
SDKS = {
    "analytics.js": PACKAGES / "@segment/analytics-next/dist/umd/index.js",
    "rudderstack": RUDDERSTACK,
    "rudderstack, useBeacon": RUDDERSTACK,
}
LOAD = {
    "analytics.js": """
      window.analytics = AnalyticsNext.AnalyticsBrowser.load(
        {{writeKey: '{key}', cdnURL: '{url}'}})""",
    "rudderstack": """
      window.analytics = new rudderanalytics.RudderAnalytics();
      analytics.load('{key}', '{url}', {{configUrl: '{url}'}})""",
    "rudderstack, useBeacon": """
      window.analytics = new rudderanalytics.RudderAnalytics();
      analytics.load('{key}', '{url}', {{configUrl: '{url}', useBeacon: true,
        beaconQueueOptions: {{flushQueueInterval: 200}}}})""",
}
BUY = """
  analytics.track('Order Completed', {{order_id: '{order}', total: 49.9, currency: 'EUR',
    products: [{{product_id: 'P-1', name: 'Mug', price: 24.95, quantity: 2}}]}})"""
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.journey,
    pytest.mark.skipif(
        not all(file.is_file() for file in SDKS.values()),
        reason="the SDKs for browsers are not there: run `make .node/.done`",
    ),
]


@pytest.fixture(params=SDKS)
def sdk(request, site):
    """Return the name of an SDK that the page loads, with its public key."""
    name = request.param
    site.shop.file("/sdk.js", SDKS[name].read_text())
    load = LOAD[name].format(url=site.gateway_url, key="page-key")
    site.shop.page("/", "", head=f"<script src='/sdk.js'></script><script>{load}</script>")
    return name


async def test_order_of_a_page_reaches_x_with_click_id_and_user_agent(visitor, site, sdk):
    order = f"order-{sdk}"

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does("void analytics.page()")
    await visitor.does("void analytics.identify('user-7', {email: 'shopper@shop.example'})")
    await visitor.does(f"void {BUY.format(order=order)}")
    await until(lambda: site.counted(order)["api"] == 1)

    [sent] = site.sent()
    assert (sent["value"], sent["price_currency"]) == ("49.90", "EUR")
    assert sent["contents"][0]["content_price"] == "24.95"
    assert sent["identifiers"][0] == {"twclid": TWCLID, "user_agent": AGENT}
    # RudderStack's SDK repeats the traits in each call; Segment's does not.
    digest = email_digest("shopper@shop.example", path="")
    assert ({"hashed_email": digest} in sent["identifiers"]) == (sdk != "analytics.js")
    assert visitor.errors == []


async def test_calls_of_a_page_go_only_to_the_gateway(visitor, site, sdk):
    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(f"void {BUY.format(order=f'only-{sdk}')}")
    await until(lambda: site.counted(f"only-{sdk}")["api"] == 1)

    assert visitor.origins == {site.shop.origin, site.gateway_url}
    paths = {urlsplit(request.url).path for request in visitor.requests}
    assert ("/beacon/v1/batch" in paths) == ("useBeacon" in sdk)
