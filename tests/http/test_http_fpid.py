"""The cookie FPID in the response to a GA4 hit, set like by Google's server container."""

import re
from urllib.parse import unquote

import pytest
from tag_stage import KEY, PROXY, TagStage, a_shop, stage_arguments

from twite.domain.consent import ConsentPolicy
from twite.domain.destination import ClickCookie
from twite.gateway.ports.tags import FiringResult

HIT = "/g/collect?v=2&tid=G-1&en=page_view&_p=1&_s=1&cid=1234.1775537645"
MADE = r"FPID2\.2\.([A-Za-z0-9%]+)\.1775537645"
REST = "Path=/; Max-Age=63072000; Domain=shop.example; Secure; SameSite=Lax; HttpOnly"
KNOWN = "FPID2.2.2vwfEqQnm1fbTyLngcbupbCN7jTzwZsEQcaBdDulNzI%3D.1775537645"
DROPPED = "FPID=; Path=/; Max-Age=0; Domain=shop.example; Secure; SameSite=Lax"


class Listener:
    """Replaces the tags. Records their events."""

    def __init__(self):
        self.events = []

    def listens_to(self, _source):
        return True

    async def dispatch(self, remarks, **_said):
        self.events += [remark.event for remark in remarks]
        return FiringResult()


class Asks:
    def __init__(self, api, listener):
        self.api, self.listener = api, listener

    async def hit(self, path=HIT, *, cookie="", host="t.shop.example", **more):
        """Return the cookie FPID that the response sets, and the client ids of the event."""
        response = await self.api.of_page(
            "POST", path, headers={"Host": host, "Cookie": cookie}, **more
        )
        assert response.status == 200
        [event] = self.listener.events[-1:]
        [found] = [*re.findall(r"FPID=[^\n]*", response.headers.get("set-cookie", "")), None][:1]
        return found, (event["client_id"], event.get("x-ga-js_client_id"))


@pytest.fixture
def asks(staged):
    async def open_(mode, **said):
        shop = a_shop(cookie=ClickCookie(fpid=mode), **said)
        needs, store = stage_arguments(shop)
        needs["accept"].tag_dispatcher = listener = Listener()
        api = TagStage(await staged(**needs, trusted_proxies=PROXY), store)
        return Asks(api, listener)

    return open_


async def test_client_id_of_the_page_is_used_if_fpid_is_off(asks):
    ask = await asks("off")

    assert await ask.hit(cookie=f"FPID={KNOWN}") == (None, ("1234.1775537645", None))


async def test_browser_gets_an_fpid_that_tags_can_read_and_scripts_cannot(asks):
    ask = await asks("new")

    first, ids = await ask.hit()
    again, _ = await ask.hit()
    other, _ = await ask.hit(HIT.replace("1234", "99"))

    value, _, rest = first.removeprefix("FPID=").partition("; ")
    made = re.fullmatch(MADE, value)
    assert made is not None
    assert len(unquote(made[1])) == 44
    assert rest == REST
    assert ids == (f"{unquote(made[1])}.1775537645", "1234.1775537645")
    # Hits that the page sends before the first response have the same id.
    assert first == again != other


@pytest.mark.parametrize("mode", ["new", "migrate"])
async def test_fpid_of_a_known_browser_is_kept_for_two_more_years(asks, mode):
    ask = await asks(mode)

    found, ids = await ask.hit(cookie=f"FPID={KNOWN}")

    own = "2vwfEqQnm1fbTyLngcbupbCN7jTzwZsEQcaBdDulNzI=.1775537645"
    assert (found, ids) == (f"FPID={KNOWN}; {REST}", (own, "1234.1775537645"))


async def test_fpid_can_contain_the_client_id_of_the_page(asks):
    ask = await asks("migrate")

    found, ids = await ask.hit()

    assert found == f"FPID=FPID2.2.1234.1775537645; {REST}"
    assert ids == ("1234.1775537645", "1234.1775537645")


@pytest.mark.parametrize(
    "said",
    [
        "&gcs=G100",
        "&gcs=G110",
        "&gcs=G101",
        "&gcs=G111&gcd=13r3u3r3r5",
        "&npa=1&gcs=G100",
        "&ep.analytics_storage=denied",
        "&up.analytics_storage=denied",
        "&ep.analyticsStorage=false",
        "&analytics_storage=denied",
        "&ep.analytics_storage=granted&up.analytics_storage=denied",
    ],
)
async def test_denial_ignores_and_deletes_the_fpid(asks, said):
    ask = await asks("new")

    without, _ = await ask.hit(HIT + said)
    found, ids = await ask.hit(HIT + said, cookie=f"FPID={KNOWN}")

    assert (without, found) == (None, DROPPED)
    assert ids == ("1234.1775537645", None)


async def test_fpid_is_not_set_without_required_consent(asks):
    ask = await asks("new", consent=ConsentPolicy(required=True))

    missing = await ask.hit(cookie=f"FPID={KNOWN}")
    granted, _ = await ask.hit(HIT + "&gcs=G111&gcd=13n3n3n3n5")

    assert missing == (None, ("1234.1775537645", None))
    assert granted is not None


async def test_gateway_on_another_site_does_not_set_the_fpid(asks):
    ask = await asks("new")

    assert (await ask.hit(host="twite.example"))[0] is None


@pytest.mark.parametrize(
    "value", ["a", "FPID2.2.a@b.example", "FPID2.2." + "a" * 201, "FPID2.2.%0d"]
)
async def test_invalid_fpid_is_replaced(asks, value):
    ask = await asks("migrate")

    found, ids = await ask.hit(cookie=f"FPID={value}")

    assert found == f"FPID=FPID2.2.1234.1775537645; {REST}"
    assert ids[0] == "1234.1775537645"


async def test_hit_of_a_server_keeps_its_client_id(asks):
    ask = await asks("new")

    response = await ask.api.of_server("POST", f"{HIT}&api_secret={KEY}")

    assert response.status == 200
    assert "FPID" not in response.headers.get("set-cookie", "")
    assert ask.listener.events[-1]["client_id"] == "1234.1775537645"
