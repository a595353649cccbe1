"""The page of webhooks: deliveries with their verdicts, and neither persons nor secrets."""

import hmac
import json
import re

import aiohttp
import pytest
import pytest_asyncio
from console_stage import SETTINGS, ConsoleStage

pytestmark = pytest.mark.asyncio(loop_scope="module")

PERSON = "ada@shop.example"
PATH_SECRET = "a-long-secret-in-the-path"
HMAC_SECRET = "a-long-secret-of-the-shop"
WEBHOOKS = f"""
[[webhook]]
name = "crm"
kind = "generic"
secret = "{PATH_SECRET}"
source = "client"
authentication = "path"
ignore = {{{{ refund = "refunded" }}}}
map = {{{{ conversion_id = "id", email = "mail", value = "total", currency = "'EUR'" }}}}
[[webhook]]
name = "orders"
kind = "generic"
secret = "{HMAC_SECRET}"
source = "shop"
signature = {{{{ header = "X-Sig" }}}}
map = {{{{ conversion_id = "id" }}}}
[[webhook]]
name = "quiet"
kind = "standard"
secret = "whsec_c2VjcmV0"
source = "shop"
map = {{{{ conversion_id = "id" }}}}
"""


async def post(stage, path, message, headers=None):
    body = json.dumps(message).encode()
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{stage.gateway.url}/webhooks/{path}", data=body, headers=headers) as answer,
    ):
        return answer.status


def signed(message):
    digest = hmac.digest(HMAC_SECRET.encode(), json.dumps(message).encode(), "sha256")
    return {"X-Sig": digest.hex(), "Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("webhooks"), SETTINGS + WEBHOOKS)
    await stage.start()
    order = {"type": "order.paid", "id": "o-1", "mail": PERSON, "total": 49.90}
    said = [
        await post(stage, f"crm/{PATH_SECRET}", order),
        await post(stage, f"crm/{PATH_SECRET}", order),
        await post(stage, f"crm/{PATH_SECRET}", order | {"total": [PERSON]}),
        await post(stage, f"crm/{PATH_SECRET}", order | {"refunded": True}),
        await post(stage, f"crm/{PATH_SECRET}", order | {"type": PERSON, "refunded": True}),
        await post(stage, f"crm/{PATH_SECRET}x", order),
        await post(stage, f"crm/{PATH_SECRET}y", order),
        await post(stage, "orders", order, signed(order)),
    ]
    assert said == [200, 200, 200, 200, 200, 401, 401, 200]
    # The log writes deliveries in the background.
    await stage.gateway._parts.webhook_log.stop()  # noqa: SLF001 - the test waits for the writing
    yield stage
    await stage.stop()


async def test_deliveries_are_shown_with_verdict_and_reason(stage):
    page = await (await stage.signed_in("ada")).get("/console/system/webhooks")

    for text in (
        "accepted", "duplicate", "rejected", "wrong_type", "ignored", "order.paid",
        "a refund: X has no way to correct a conversion",
        "no secret of the webhook fits: compare it with the sender&#39;s",
        'class="right"><div>2</div></td>',
        "No delivery yet. The sender posts to <code>/webhooks/quiet</code>.",
    ):  # fmt: skip
        assert text in page.text
    assert '<a href="/console/conversions?state=rejected&amp;id=' in page.text


async def test_accepted_message_leads_to_its_conversion(stage):
    ada = await stage.signed_in("ada")
    page = await ada.get("/console/system/webhooks")

    linked = re.findall(r'<a href="(/console/conversions\?id=[^"]+)"', page.text)
    assert linked
    for path in linked:
        found = await ada.get(path)
        assert re.fullmatch(r"/console/conversions/\d+", found.location), (found.status, path)


async def test_newest_delivery_comes_first(stage):
    page = await (await stage.signed_in("ada")).get("/console/system/webhooks")

    crm = page.text[page.text.index("Deliveries of crm") : page.text.index("Deliveries of orders")]
    assert crm.index("refused") < crm.index("ignored") < crm.index("duplicate")


async def test_page_shows_no_person_and_no_secret(stage):
    page = await (await stage.signed_in("ada")).get("/console/system/webhooks")

    for text in (PERSON, PATH_SECRET, HMAC_SECRET, "whsec"):
        assert text not in page.text


async def test_users_of_a_pixel_see_only_its_webhooks(stage):
    page = await (await stage.signed_in("client")).get("/console/system/webhooks")

    assert page.status == 200
    assert "/webhooks/crm" in page.text
    assert "/webhooks/orders" not in page.text
    assert "/webhooks/quiet" not in page.text
