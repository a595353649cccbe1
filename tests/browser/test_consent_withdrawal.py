"""Withdrawn consent deletes what the script stored, and conversions that need consent wait."""

import asyncio
import json

import pytest
from consent_words import AGREED, DENIED, EUROPE, GPP, GTAG, ICS, REFUSED, TCF, a_page, in_gpp
from visitor import TWCLID, bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

# The script waits a random part of two seconds before it sends a failed request again.
NOT_AGAIN = "Math.random = () => 30;"
# How consent is given and withdrawn after the page has loaded.
TAKEN_BACK = {
    "the page says so": ("", "0", "twite('consent', {ad_storage: 'denied'})"),
    "google's layer": (GTAG, "0", DENIED.replace("default", "update")),
    "google's tag": (ICS, AGREED, REFUSED),
    "a platform of the TCF": (
        TCF,
        "tell('tcloaded', [1, 3, 4, 7], true)",
        "tell('useractioncomplete', [], true)",
    ),
    "a platform of gpp": (
        GPP,
        in_gpp(2, EUROPE["1, 3, 4, 7"]),
        in_gpp(2, EUROPE["1, 3, 4, 7"], "not ready") + in_gpp(2, EUROPE["none"]),
    ),
}


@pytest.mark.parametrize("way", TAKEN_BACK)
async def test_withdrawn_consent_deletes_cookies_and_storage(visitor, site, way):
    head, grant, refuse = TAKEN_BACK[way]
    a_page(site, NOT_AGAIN + head, source="page", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.wait_until_idle()
    await visitor.does(grant)
    await visitor.wait_for_responses()
    await visitor.context.set_offline(True)
    await visitor.does(bought(f"order-c6-{len(way)}"))
    await visitor.waits_for_a_failure()
    await until(lambda: visitor.conversions() != [])
    await visitor.does("localStorage['twite:another:1764072000123purchase 1'] = '{}'; 0")
    visitor.requests.clear()
    await visitor.does(refuse)
    await visitor.wait_until_idle()

    kept = await visitor.does("Object.keys(localStorage)")
    assert (kept, await visitor.cookies()) == ([], {})
    # The gateway is told, so that it deletes the cookies that scripts cannot see.
    assert ["conversions" in said for said in visitor.beacons()] == [False]


async def test_conversions_that_wait_for_xs_script_are_not_stored_after_a_withdrawal(visitor, site):
    late = "const now = Date.now; Date.now = () => now() + (window.late || 0);"
    # A pixel whose script never loads.
    a_page(site, late + "window.twq = () => {};", source="page")

    await visitor.goes_to("/")
    await visitor.does(bought("order-c11"))
    before = await visitor.queued()
    await visitor.does("twite('consent', {ad_storage: 'denied', ad_user_data: 'denied'})")
    await visitor.does("late = 5000; new Promise((done) => setTimeout(done, 500))")
    after = await visitor.does("Object.keys(localStorage)")
    await visitor.does("twite('consent', {ad_storage: 'granted', ad_user_data: 'granted'})")
    await visitor.does(f"twq.exe = 1; {bought('order-c12')}")
    await visitor.sends()
    await visitor.wait_until_settled()

    assert (len(before), after) == (1, [])
    assert [conversion["conversion_id"] for conversion in visitor.conversions()] == ["order-c12"]


async def test_pixel_is_not_called_while_the_consent_platform_asks_again(visitor, site):
    a_page(site, TCF, source="page")

    await visitor.goes_to("/")
    await visitor.wait_until_idle()
    await visitor.does("tell('tcloaded', [1, 3, 4, 7], true)")
    await visitor.does(f"{bought('order-c13')}; tell('cmpuishown', [1, 3, 4, 7], true)")
    await visitor.does("window.told = []; window.twq = (...all) => told.push(all[0]); twq.exe = 1")
    await visitor.does("new Promise((done) => setTimeout(done, 500))")
    asked = await visitor.does("told"), visitor.beacons()
    await visitor.does("tell('useractioncomplete', [1, 3, 4, 7], true)")
    [sent] = await visitor.sends()

    assert (asked, await visitor.does("told")) == (([], []), ["event"])
    assert "email_sha256" in sent


async def test_click_id_in_flight_is_not_stored_after_a_withdrawal(visitor, site):
    a_page(site, source="page", data_pixel="off")
    asked, answers = [], asyncio.Event()

    async def wait(route):
        asked.append(route.request.post_data)
        await answers.wait()
        await route.continue_()

    await visitor.context.route("**/t?*", wait)

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await until(lambda: len(asked) == 1)
    await visitor.does("twite('consent', {ad_storage: 'denied'})")
    await until(lambda: len(asked) == 2)
    answers.set()
    await visitor.page.wait_for_load_state("networkidle")
    await visitor.wait_until_idle()

    assert await visitor.does("Object.keys(localStorage)") == []
    assert ["click" in json.loads(said) for said in asked] == [True, False]


async def test_gateway_deletes_cookies_that_scripts_cannot_see(visitor, site):
    a_page(site, source="hiding", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.wait_for_responses()
    before = await visitor.cookies()
    await visitor.does("twite('consent', {ad_storage: 'denied'})")
    await until(lambda: len(visitor.beacons()) == 2)
    await visitor.page.wait_for_load_state("networkidle")

    assert (list(before), await visitor.cookies()) == (["_twite"], {})


async def test_click_id_is_stored_again_after_renewed_consent(visitor, site):
    a_page(site, source="page", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.wait_for_responses()
    await visitor.does("twite('consent', {ad_storage: 'denied'})")
    await until(lambda: len(visitor.beacons()) == 2)
    await visitor.does("twite('consent', {ad_storage: 'granted'})")
    await visitor.wait_for_responses()

    assert (await visitor.cookies())["_twite"].endswith(TWCLID)


async def test_denial_without_earlier_consent_sends_nothing(visitor, site):
    a_page(site, GTAG + DENIED, data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(DENIED.replace("default", "update"))
    await visitor.wait_until_idle()

    assert visitor.beacons() == []


@pytest.mark.parametrize("head", [GTAG + DENIED, ICS])
async def test_default_of_denied_does_not_withdraw_earlier_consent(visitor, site, head):
    a_page(site, source="page", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.wait_for_responses()
    a_page(site, head, source="page", data_pixel="off")
    await visitor.goes_to("/")
    await visitor.wait_until_idle()

    assert "_twite" in await visitor.cookies()
