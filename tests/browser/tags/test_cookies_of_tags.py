"""Cookies that a tag sets: a real browser keeps them, and sends them with its next events."""

import shutil
from pathlib import Path

import pytest
from gateway_processes import wait_for
from shop import running_site
from vendor import Vendor
from visitor import Visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

TEMPLATE = Path(__file__).parents[2] / "tags/templates/ad_cookies.tpl"
TAG = """
[[tag]]
name = "ads"
template = "ads.tpl"
events = []
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{vendor}" }}
"""


async def test_browser_keeps_a_cookie_set_by_a_tag_over_three_events(browser, site, tmp_path):
    shutil.copy(TEMPLATE, tmp_path / "ads.tpl")
    with Vendor() as vendor:
        wait = {"[server]": '[templates]\nresponse_wait = "5s"\n[server]'}
        extra = TAG.format(vendor=vendor.url)
        with running_site(tmp_path, site.shop, site.emulator, extra=extra, changes=wait) as own:
            own.shop.page("/", "")
            async with Visitor.in_context(browser, own) as visitor:
                kept = []
                for number in (1, 2, 3):
                    await visitor.goes_to("/?adclid=C1" if number == 1 else "/")
                    await visitor.does(
                        f"fetch('{own.gateway_url}/g/collect?v=2&tid=G-1&cid=1.2&s=page&en=view"
                        f"&gcs=G111&_s=1&_p={number}&dl=' + encodeURIComponent(location.href),"
                        " {method: 'POST', credentials: 'include'})"
                    )
                    wait_for(lambda count=number: vendor.count() == count)
                    kept.append(await visitor.cookies())

    ads = [{name: jar[name] for name in ("_adp", "_adc")} for jar in kept]
    assert ads[0] == ads[1] == ads[2]
    assert [{"_adp": came["adp"], "_adc": came["adc"]} for came in vendor.came] == ads
