"""What an API key gives access to over HTTP, and what it does not."""

import pytest
import pytest_asyncio
from console_stage import PASSWORD

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES = {
    "accounting": "/v1/accounting",
    "history": "/v1/conversions/o8z6j/order-1",
    "deduplication": "/v1/deduplication",
}
CONVERSION = b'{"event": "purchase", "conversion_id": "order-1", "email": "shopper@shop.example"}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def received(stage):
    """One conversion of each source."""
    for key in ("a-source-key-of-some-length", "another-source-key-of-some-length"):
        answer = await stage.browser().ask(
            "POST",
            "/v1/conversions",
            body=CONVERSION,
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        assert answer.status == 202


async def a_key(stage, *scopes, pixels=None):
    ada = await stage.signed_in("ada")
    fields = [("name", "reports"), ("own", PASSWORD), *(("scope", scope) for scope in scopes)]
    fields.append(("sees", "all" if pixels is None else "some"))
    fields += [("pixel", pixel) for pixel in pixels or ()]
    made = await ada.post("/console/people/keys", fields)
    return made.text.split('<pre id="text" class="once" tabindex="0">')[1].split("</pre>")[0]


async def get_with_key(stage, path, key, **more):
    return await stage.browser().get(path, Authorization=f"Bearer {key}", **more)


@pytest.mark.parametrize("scope", ROUTES)
async def test_api_key_can_use_only_the_routes_of_its_scopes(stage, received, scope):
    key = await a_key(stage, scope)

    statuses = {
        name: (await get_with_key(stage, path, key)).status for name, path in ROUTES.items()
    }

    assert statuses == {name: 200 if name == scope else 403 for name in ROUTES}


async def test_api_key_for_some_pixels_shows_and_counts_only_these(stage, received):
    key = await a_key(stage, "history", "accounting", pixels=["o6dkt"])

    own = await get_with_key(stage, "/v1/conversions/o6dkt/order-1", key)
    others = await get_with_key(stage, "/v1/conversions/o8z6j/order-1", key)
    balance = (await get_with_key(stage, "/v1/accounting", key)).text

    assert (own.status, others.status) == (200, 404)
    assert '"received":1,' in balance
    assert '"pixel":"o6dkt"' in balance
    assert "o8z6j" not in balance


async def test_api_key_cannot_submit_conversions(stage, received):
    key = await a_key(stage, "history", "accounting", "deduplication", "metrics")

    answer = await stage.browser().ask(
        "POST",
        "/v1/conversions",
        body=CONVERSION,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )

    assert answer.status == 401


async def test_metrics_require_a_key_with_the_metrics_scope(stage):
    # Like a local proxy that forwards a remote client's request.
    elsewhere = {"X-Forwarded-For": "198.51.100.1"}
    for_metrics, other = await a_key(stage, "metrics"), await a_key(stage, "history")

    assert (await get_with_key(stage, "/metrics", for_metrics, **elsewhere)).status == 200
    assert (await get_with_key(stage, "/metrics", other, **elsewhere)).status == 401


async def test_revoked_api_key_is_refused(stage):
    key = await a_key(stage, "accounting")
    ada = await stage.signed_in("ada")

    await ada.post(f"/console/people/keys/{key.split('_')[1]}/revoke", {"own": PASSWORD})

    assert (await get_with_key(stage, "/v1/accounting", key)).status == 401
