"""The cookie FPID: a browser keeps it for three GA4 hits, and a tag reads it as the client id."""

from pathlib import Path

import pytest
from gateway_processes import Gateway, wait_for
from test_tag_cookies import PAGE, Browser
from vendor import Vendor

pytestmark = pytest.mark.journey

TEMPLATE = Path(__file__).parents[2] / "tags/templates" / "crm_post.tpl"


def with_tag(folder: Path, x: str, endpoint: str, mode: str) -> Gateway:
    gateway = Gateway(folder, x)
    settings = gateway.config.read_text().replace("region =", f'origins = ["{PAGE}"]\nregion =')
    gateway.config.write_text(
        f"""{settings}cookie = {{ fpid = "{mode}" }}
[[tag]]
name = "crm"
template = "{TEMPLATE}"
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{endpoint}" }}
"""
    )
    return gateway


@pytest.mark.parametrize("mode", ["new", "migrate"])
def test_fpid_keeps_the_client_id_after_the_page_changed_its_own(tmp_path, x_emulator, mode):
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor.url, mode) as gateway:
        browser = Browser(gateway)
        for number, own in enumerate(("1.1775537645", "1.1775537645", "2.1775537999"), 1):
            hit = f"/g/collect?v=2&tid=G-1&cid={own}&_p={number}&_s=1&en=view&gcs=G111"
            assert browser.ask("POST", hit).status == 200
            wait_for(lambda count=number: vendor.count() == count, gateway.ended)
        balance = gateway.drained()

    [cookie] = [cookie for cookie in browser.set if cookie.startswith("FPID=")]
    events = sorted(
        (came["event"] for came in vendor.came), key=lambda event: event["x-ga-page_id"]
    )
    assert {"HttpOnly", "Max-Age=63072000"} <= set(cookie.split("; "))
    assert len({event["client_id"] for event in events}) == 1
    assert (events[0]["client_id"] == "1.1775537645") is (mode == "migrate")
    assert [event["x-ga-js_client_id"][0] for event in events] == ["1", "1", "2"]
    assert balance["balance"] == 0
