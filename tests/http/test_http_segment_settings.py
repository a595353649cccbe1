"""What the SDKs for browsers load before their first call."""

import pytest
from tag_stage import PAGE, a_shop
from test_http_segment import OTHER, PUBLIC, SUCCESS, outcome


@pytest.fixture
async def api(make_api):
    return await make_api(a_shop(write_key=PUBLIC))


@pytest.mark.parametrize("prefix", ["/v1", "/segment/v1"])
@pytest.mark.parametrize(
    ("public_url", "protocol", "host"),
    [(None, "http", "127.0.0.1"), ("https://t.shop.example/", "https", "t.shop.example")],
)
async def test_settings_of_analytics_js_name_this_gateway(
    make_api, prefix, public_url, protocol, host
):
    api = await make_api(a_shop(write_key=PUBLIC), public_url=public_url)

    response = await api.of_page(
        "GET", f"{prefix}/projects/{PUBLIC}/settings", headers={"Host": "127.0.0.1"}
    )

    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert response.json()["integrations"] == {
        "Segment.io": {"apiKey": PUBLIC, "apiHost": f"{host}{prefix}", "protocol": protocol}
    }


async def test_settings_need_a_key_and_an_origin_of_its_source(api):
    path = "/v1/projects/{}/settings"

    answers = [
        await api.of_page("GET", path.format("wrong")),
        await api.of_page("GET", path.format(PUBLIC), origin=OTHER),
        await api.of_server("GET", path.format(PUBLIC)),
    ]

    assert [outcome(answer) for answer in answers] == [
        (401, "key_wrong"),
        (403, "origin_wrong"),
        (403, "origin_missing"),
    ]


async def test_settings_of_rudderstack_name_the_source(api):
    response = await api.of_page("GET", f"/sourceConfig/?p=npm&writeKey={PUBLIC}")

    source = response.json()["source"]
    assert (source["id"], source["enabled"], source["destinations"]) == ("shop", True, [])


async def test_metrics_of_analytics_js_are_discarded(api):
    response = await api.of_page("POST", "/v1/m", b'{"series": []}')

    assert (response.status, response.body) == SUCCESS
    assert api.store.kept == []
