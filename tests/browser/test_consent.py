"""The script stores and sends nothing before consent, and sends consent signals to the gateway."""

import json
from pathlib import Path

import pytest
from consent_words import (
    AGREED,
    BOTH,
    CANADA,
    DENIED,
    EUROPE,
    GPP,
    GRANTED,
    GTAG,
    ICS,
    TCF,
    a_page,
    in_gpp,
)
from visitor import TWCLID, bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

ONCE = {"api": 1, "pixel": 1, "counted": 1}


async def test_nothing_is_sent_or_stored_before_consent(visitor, site):
    a_page(site, GTAG + DENIED, data_pixel="load")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-c1"))
    await visitor.wait_until_idle()
    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")

    asked = {request.url.partition("?")[0] for request in visitor.requests}
    kept = await visitor.does("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    assert asked <= {
        f"{site.shop.origin}/",
        f"{site.shop.origin}/favicon.ico",
        f"{site.gateway_url}/twite.js",
    }
    assert (kept, await visitor.cookies()) == ([], {})


async def test_conversions_from_before_consent_are_sent_after_it(visitor, site):
    a_page(site, GTAG + DENIED, data_pixel="load")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-c2"))
    await visitor.does(GRANTED)
    await until(lambda: site.counted("order-c2") == ONCE)

    [conversion] = await visitor.sends()
    cookies = await visitor.cookies()
    assert (conversion["twclid"], visitor.beacons()[-1]["consent"]) == (TWCLID, BOTH)
    assert cookies["_twite"].endswith(TWCLID)


# How each kind of consent is granted after page load, and the signals that the gateway gets.
WAYS = {
    "the page says it": (
        "",
        "twite('consent', {ad_storage: 'granted', ad_user_data: true})",
        BOTH,
    ),
    "the page says it in capitals": (
        "",
        "twite('consent', {AD_STORAGE: 'Granted', ad_user_data: 'GRANTED', ad_x: undefined})",
        BOTH,
    ),
    "google's layer": (GTAG + DENIED, GRANTED, BOTH),
    "google's layer, and nothing before": (GTAG, GRANTED, BOTH),
    "google's tag": (
        ICS,
        AGREED,
        BOTH,
    ),
    "a platform of the TCF": (TCF, "tell('tcloaded', [1, 3, 4, 7], true)", {"tcf": "CP-a-string"}),
    "a platform of the TCF, after its question": (
        TCF,
        "tell('cmpuishown', [1, 7], true); tell('useractioncomplete', [1, 7], true)",
        {"tcf": "CP-a-string"},
    ),
    "a platform of gpp, in europe": (
        GPP,
        in_gpp(2, EUROPE["1, 7"]),
        {"gpp": EUROPE["1, 7"], "gpp_sid": "2"},
    ),
    "a platform of gpp, in canada": (
        GPP,
        in_gpp(5, CANADA["1, and 7 implied"]),
        {"gpp": CANADA["1, and 7 implied"], "gpp_sid": "5"},
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_consent_of_each_kind_is_recognized_and_sent_to_the_gateway(visitor, site, way):
    head, grant, signals = WAYS[way]
    a_page(site, head, data_pixel="off")
    order = f"order-c3-{way}"

    await visitor.goes_to("/")
    await visitor.does(bought(order.replace("'", "")))
    await visitor.wait_until_idle()
    early = len(visitor.beacons()), await visitor.queued()
    await visitor.does(grant)
    await visitor.sends()

    assert (early, visitor.beacons()[-1]["consent"]) == ((0, []), signals)


# Google consent calls of a page, and the person's choice in them: granted, denied or none.
GOOGLE = json.loads((Path(__file__).parent / "google_words.json").read_text())


@pytest.mark.parametrize("case", [pytest.param(case, id=case["says"]) for case in GOOGLE])
async def test_google_consent_default_can_deny_but_not_grant(visitor, site, case):
    head = GTAG + "".join(
        f"gtag('consent', '{kind}', {json.dumps(words)});" for kind, words in case["layer"]
    )
    if case["ics"]:
        ics = {"entries": case["ics"]}
        head += f"window.google_tag_data = {{ics: {json.dumps(ics)}}};"
    sent = {}
    for source in ("asking", "page"):
        a_page(site, head, source=source, data_pixel="off")
        await visitor.goes_to("/")
        await visitor.does(bought(f"order-{source}"))
        await visitor.wait_until_idle()
        # Conversions that may be sent are stored at once.
        sent[source] = [*await visitor.queued(), *visitor.beacons()] != []
        await visitor.wait_until_settled()
        visitor.requests.clear()

    word = case["word"]
    assert sent == {"asking": word == "granted", "page": word != "denied"}


GRANTED_TO_ALL = "gtag('consent', 'default', {ad_storage: 'granted', ad_user_data: 'granted'})"
# Signals after the page has loaded, if the source does not require consent.
REFUSALS = {
    "the page says so": ("", "twite('consent', {ad_storage: 'denied'})"),
    **{
        f"the page says {said}": ("", f"twite('consent', {said})")
        for said in (
            *(f"{{ad_storage: {no}}}" for no in ("'DENIED'", "0", "'no'", "null", "''")),
            "{AD_USER_DATA: 'Denied'}",
        )
    },
    "google's layer": (GTAG, DENIED),
    "google's layer, after a call that is none": (GTAG, "gtag('consent', 'default');" + DENIED),
    "google's layer, of a region": (
        GTAG,
        "gtag('consent', 'default', {ad_storage: 'denied', region: ['ES']})",
    ),
    "google's layer, of a region, and then for all": (
        GTAG,
        "gtag('consent', 'default', {ad_storage: 'denied', region: ['ES']});" + GRANTED_TO_ALL,
    ),
    "the page says yes, and google no": (
        GTAG,
        DENIED + "twite('consent', {ad_storage: 'granted', ad_user_data: 'granted'})",
    ),
    "google's tag": (ICS, "0"),
    "a platform of the TCF": (TCF, "tell('tcloaded', [1, 3, 4], true)"),
    "a platform of the TCF that still asks": (TCF, "tell('cmpuishown', [1, 7], true)"),
    "a platform of the TCF that says nothing yet": (TCF, "0"),
    "a platform of the TCF that fails": (
        TCF,
        "tell('tcloaded', [1, 3, 4], true); hear.forEach((f) => f(null, false))",
    ),
    "a platform of gpp, in europe": (GPP, in_gpp(2, EUROPE["none"])),
    "a platform of gpp, in europe, to measuring": (GPP, in_gpp(2, EUROPE["1"])),
    "a platform of gpp, in europe, without a string": (GPP, in_gpp(2, "DBAA")),
    "a platform of gpp, in canada": (GPP, in_gpp(5, CANADA["2"])),
    "a platform of gpp that is not ready": (GPP, "0"),
    "a platform of gpp that asks again": (
        GPP,
        in_gpp(2, EUROPE["1, 7"]) + in_gpp(2, EUROPE["1, 7"], "not ready"),
    ),
}


@pytest.mark.parametrize("way", REFUSALS)
async def test_denial_of_any_kind_stops_storing_and_sending(visitor, site, way):
    head, refuse = REFUSALS[way]
    a_page(site, head, source="page", data_pixel="load")

    await visitor.goes_to("/")
    await visitor.does(refuse)
    visitor.requests.clear()
    await visitor.does(bought("order-c4"))
    await visitor.wait_until_idle()

    # Conversions that may be sent are stored at once.
    assert (visitor.beacons(), await visitor.queued()) == ([], [])
    assert site.hits() == []


async def test_tcf_platform_that_reports_no_gdpr_does_not_block_sending(visitor, site):
    a_page(site, TCF, source="page", data_pixel="off")

    await visitor.goes_to("/")
    await visitor.wait_until_idle()
    await visitor.does("tell('tcloaded', [], false)")
    await visitor.does(bought("order-c5"))

    await visitor.sends()
