"""The npm package for pages, `@twite/browser`: built, and loaded by a page as a module."""

import subprocess
from pathlib import Path

import pytest
from visitor import until

ROOT = Path(__file__).parents[2]
TSC = ROOT / ".node/node_modules/.bin/tsc"
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.journey,
    pytest.mark.skipif(not TSC.exists(), reason="no TypeScript: make .node/.done installs it"),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    subprocess.run([TSC, "-p", ROOT / "clients/javascript/browser", "--outDir", folder], check=True)
    return (folder / "index.js").read_text()


async def test_page_loads_the_script_and_sends_calls_from_before_and_after(visitor, site, package):
    site.shop.file("/twite-browser.js", package)
    page = f"""
      import {{load}} from '/twite-browser.js';
      window.send = load({{src: '{site.gateway_url}/twite.js', source: 'page'}});
      send('config', {{consent: 'optional'}});
      send('purchase', {{order_id: 'order-m1', value: 49.9, currency: 'EUR',
        email: 'shopper@shop.example'}});
      window.again = load({{src: '{site.gateway_url}/twite.js', source: 'page'}});
    """
    site.shop.page("/", f"<script type='module'>{page}</script>")

    await visitor.goes_to("/")
    await until(lambda: site.counted("order-m1")["api"] == 1)
    made = await visitor.does(
        "send('purchase', {order_id: 'order-m2', email: 'shopper@shop.example'})"
    )
    await until(lambda: site.counted("order-m2")["api"] == 1)

    assert made == "order-m2"
    assert await visitor.does("document.querySelectorAll('script[src*=\"twite.js\"]').length") == 1


async def test_script_sends_to_the_configured_path(visitor, site, package):
    site.shop.file("/twite-browser.js", package)
    page = f"""
      import {{load}} from '/twite-browser.js';
      const send = load({{src: '{site.gateway_url}/twite.js', source: 'page'}});
      send('config', {{beacon: 's7', consent: 'optional'}});
      send('purchase', {{order_id: 'order-m3', email: 'shopper@shop.example'}});
    """
    site.shop.page("/", f"<script type='module'>{page}</script>")

    async with visitor.page.expect_request(f"{site.gateway_url}/s7?s=page"):
        await visitor.goes_to("/")
