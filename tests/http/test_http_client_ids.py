"""The cookie `_dcid` in the response to Stape's Data Tag, set like by Stape's own client."""

import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_network

import msgspec
import pytest
from tag_stage import NOW, TagStage, a_shop, stage_arguments

from twite.domain.consent import ConsentPolicy
from twite.domain.destination import ClickCookie

PROXY = (ip_network("127.0.0.1/32"),)
DATA = "/data?v=2&event=page_view"
REST = "Path=/; Max-Age=63072000; Domain=shop.example; Secure; SameSite=Lax"
KNOWN = "dcid.1.1795599990000.123456789"
NO = {"consent_state": {"ad_storage": False}}


@pytest.fixture
def make_api(staged) -> Callable[..., Awaitable[TagStage]]:
    async def open_(*sources) -> TagStage:
        needs, store = stage_arguments(*sources)
        return TagStage(await staged(**needs, trusted_proxies=PROXY), store)

    return open_


async def client_id_cookie(api, body, *, path=DATA, cookie="", **more):
    response = await api.of_page(
        "POST",
        path,
        msgspec.json.encode(body),
        headers={"Host": "t.shop.example", "Cookie": cookie},
        **more,
    )
    return response.headers.get("set-cookie")


WHOSE = [
    ({"client_id": "a", "data_client_id": "b", "_dcid": "c", "_dcid_temp": "d"}, "_dcid=e", "a"),
    ({"data_client_id": "b", "_dcid": "c", "_dcid_temp": "d"}, "_dcid=e", "b"),
    ({"_dcid": "c", "_dcid_temp": "d"}, "_dcid=e", "c"),
    ({"_dcid_temp": KNOWN}, "_dcid=e", "e"),
    ({"_dcid_temp": KNOWN}, "", KNOWN),
    ({"client_id": 5.25}, "", "5.25"),
    ([{"_dcid_temp": "d"}, {"client_id": "a"}], "", "a"),
    ({}, "_dcid=a%3Bb", "a%3Bb"),
    ({"client_id": "a; Domain=example\r\nSet-Cookie: b=c é"}, "",
     "a%3B%20Domain%3Dexample%20Set-Cookie%3A%20b%3Dc%20%C3%A9"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "cookie", "value"), WHOSE)
async def test_client_id_cookie_matches_that_of_stapes_client(make_api, body, cookie, value):
    api = await make_api()

    assert await client_id_cookie(api, body, cookie=cookie) == f"_dcid={value}; {REST}"


async def test_browser_without_a_client_id_gets_a_random_one(make_api):
    api = await make_api()

    said = [await client_id_cookie(api, {}) for _ in range(2)]

    assert all(re.fullmatch(rf"_dcid=dcid\.1\.{NOW}\.\d{{9}}; {REST}", cookie) for cookie in said)
    assert said[0] != said[1]


async def test_client_id_cookie_is_http_only_if_configured(make_api):
    api = await make_api(a_shop(cookie=ClickCookie(http_only=True)))

    assert await client_id_cookie(api, {"client_id": "a"}) == f"_dcid=a; {REST}; HttpOnly"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_image_response_sets_the_client_id_cookie(make_api, method):
    api = await make_api()

    response = await api.of_page(method, f"{DATA}&client_id=a", headers={"Host": "t.shop.example"})

    assert response.headers["set-cookie"] == f"_dcid=a; {REST}"


NONE = {
    "the person says no": (a_shop(), {"client_id": "a"} | NO, DATA),
    "nobody was asked, and must be": (
        a_shop(consent=ConsentPolicy(required=True)), {"client_id": "a"}, DATA,
    ),
    "the source wants none": (
        a_shop(cookie=ClickCookie(client_id=False)), {"client_id": "a"}, DATA,
    ),
    "it is too long for a cookie": (a_shop(), {"client_id": "a" * 257}, DATA),
    "the endpoint is another tag's": (
        a_shop(), {"client_id": "a"}, "/g/collect?v=2&tid=G-1&cid=1.2&en=scroll&_p=4",
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", NONE)
async def test_client_id_cookie_is_not_set_in_documented_exceptions(make_api, why):
    source, body, path = NONE[why]
    api = await make_api(source)

    assert await client_id_cookie(api, body, path=path) is None


async def test_client_id_cookie_is_not_set_for_a_page_of_another_site(make_api):
    api = await make_api(a_shop(origins=("https://blog.example",)))

    assert await client_id_cookie(api, {"client_id": "a"}, origin="https://blog.example") is None


async def test_client_id_cookie_is_set_after_required_consent(make_api):
    api = await make_api(a_shop(consent=ConsentPolicy(required=True)))

    said = await client_id_cookie(
        api, {"client_id": "a", "consent_state": {"ad_storage": True, "ad_user_data": True}}
    )

    assert said == f"_dcid=a; {REST}"


async def test_denial_deletes_the_client_id_cookie(make_api):
    api = await make_api()

    said = await client_id_cookie(api, NO, cookie="_dcid=a")

    assert said == "_dcid=; Path=/; Max-Age=0; Domain=shop.example; Secure; SameSite=Lax"


async def test_repeated_request_without_the_cookie_has_the_same_conversion_id(make_api):
    api = await make_api()
    body = {
        "event_name": "sign_up",
        "twclid": "abc",
        "x-ga-page_id": "1",
        "x-ga-request_count": "2",
    }

    for _ in range(2):
        await client_id_cookie(api, body, path="/data?v=2")

    assert len({conversion["conversion_id"] for conversion in await api.sent()}) == 1
