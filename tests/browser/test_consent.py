"""Consent: nothing is kept and nothing leaves before it may, and what was said is told."""

import json
from pathlib import Path

import pytest
from visitor import TWCLID, bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

BY_API = {"api": 1, "pixel": 0, "counted": 1}
ONCE = {"api": 1, "pixel": 1, "counted": 1}
GTAG = "window.dataLayer = window.dataLayer || []; function gtag() { dataLayer.push(arguments); }"
DENIED = "gtag('consent', 'default', {ad_storage: 'denied', ad_user_data: 'denied'});"
GRANTED = "gtag('consent', 'update', {ad_storage: 'granted', ad_user_data: 'granted'});"
BOTH = {"ad_storage": "granted", "ad_user_data": "granted"}
# A consent management platform that says what it is told to, when it is told to.
TCF = """
  var hear = [];
  window.__tcfapi = (command, version, f) => { if (command === 'addEventListener') hear.push(f); };
  function tell(status, purposes, applies) {
    const consents = Object.fromEntries(purposes.map((each) => [each, true]));
    const said = {tcString: 'CP-a-string', eventStatus: status, gdprApplies: applies};
    hear.forEach((f) => f(Object.assign(said, {purpose: {consents}}), true));
  }
"""
GPP = """
  window.__gpp = (command, f) => f({eventName: 'listenerRegistered', pingData: {
    gppString: 'DBABLA~BVQqAAAAAgA.QA', applicableSections: [7], signalStatus: 'ready',
    parsedSections: {usnat: [{SaleOptOutNotice: 1, SaleOptOut: %d, SharingOptOut: 2}]}}}, true);
"""
GPP_OF_OLD = """
  window.__gpp = (command, f) => f({eventName: 'listenerRegistered', pingData: {
    gppString: 'DBABTA~1YYN', applicableSections: [6], signalStatus: 'ready',
    parsedSections: {uspv1: {Version: 1, Notice: 'Y', OptOutSale: 'Y', LspaCovered: 'N'}}}}, true);
"""
ICS = """
  window.google_tag_data = {ics: {
    entries: {ad_storage: {default: false}, ad_user_data: {default: false}},
    addListener(names, f) { this.f = f; }}};
"""
AGREED = """
  Object.values(google_tag_data.ics.entries).forEach((entry) => { entry.update = true; });
  google_tag_data.ics.f();
"""
GPC = "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"


def a_page(street, head="", source="asking", **attributes):
    street.shop.page("/", "", head=f"<script>{head}</script>{street.tag(source, **attributes)}")


async def test_nothing_leaves_and_nothing_is_kept_before_consent(visitor, street):
    a_page(street, GTAG + DENIED, data_pixel="load")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-c1"))
    await visitor.idles()
    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")

    asked = {request.url.partition("?")[0] for request in visitor.requests}
    kept = await visitor.does("Object.keys(localStorage).concat(Object.keys(sessionStorage))")
    assert asked <= {
        f"{street.shop.origin}/",
        f"{street.shop.origin}/favicon.ico",
        f"{street.gateway_url}/twite.js",
    }
    assert (kept, await visitor.cookies()) == ([], {})


async def test_what_waited_for_consent_leaves_with_it(visitor, street):
    a_page(street, GTAG + DENIED, data_pixel="load")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-c2"))
    await visitor.does(GRANTED)
    await until(lambda: street.counted("order-c2") == ONCE)

    [conversion] = await visitor.sends()
    cookies = await visitor.cookies()
    assert (conversion["twclid"], visitor.beacons()[-1]["consent"]) == (TWCLID, BOTH)
    assert cookies["_twite"].endswith(TWCLID)


# How each is granted, after the page has loaded; the signals the gateway is told of.
WAYS = {
    "the page says it": (
        "",
        "twite('consent', {ad_storage: 'granted', ad_user_data: true})",
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
}


@pytest.mark.parametrize("way", WAYS)
async def test_consent_is_heard(visitor, street, way):
    head, grant, signals = WAYS[way]
    a_page(street, head, data_pixel="off")
    order = f"order-c3-{way}"

    await visitor.goes_to("/")
    await visitor.does(bought(order.replace("'", "")))
    await visitor.idles()
    early = len(visitor.beacons()), await visitor.kept()
    await visitor.does(grant)
    await visitor.sends()

    assert (early, visitor.beacons()[-1]["consent"]) == ((0, []), signals)


# What a page's Google says, and what of it is a person's word: granted, denied, or none.
GOOGLE = json.loads((Path(__file__).parent / "google_words.json").read_text())


@pytest.mark.parametrize("case", [pytest.param(case, id=case["says"]) for case in GOOGLE])
async def test_of_googles_defaults_a_denial_counts_and_a_grant_is_nobodys_yes(
    visitor, street, case
):
    head = GTAG + "".join(
        f"gtag('consent', '{kind}', {json.dumps(words)});" for kind, words in case["layer"]
    )
    if case["ics"]:
        ics = {"entries": case["ics"]}
        head += f"window.google_tag_data = {{ics: {json.dumps(ics)}}};"
    sent = {}
    for source in ("asking", "page"):
        a_page(street, head, source=source, data_pixel="off")
        await visitor.goes_to("/")
        await visitor.does(bought(f"order-{source}"))
        await visitor.idles()
        # What may be sent is written down at once.
        sent[source] = [*await visitor.kept(), *visitor.beacons()] != []
        await visitor.settles()
        visitor.requests.clear()

    word = case["word"]
    assert sent == {"asking": word == "granted", "page": word != "denied"}


GRANTED_TO_ALL = "gtag('consent', 'default', {ad_storage: 'granted', ad_user_data: 'granted'})"
# What is said after the page has loaded, where the source does not ask for consent.
REFUSALS = {
    "the page says so": ("", "twite('consent', {ad_storage: 'denied'})"),
    "google's layer": (GTAG, DENIED),
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
}


@pytest.mark.parametrize("way", REFUSALS)
async def test_a_refusal_counts_whoever_else_agrees(visitor, street, way):
    head, refuse = REFUSALS[way]
    a_page(street, head, source="page", data_pixel="load")

    await visitor.goes_to("/")
    await visitor.does(refuse)
    visitor.requests.clear()
    await visitor.does(bought("order-c4"))
    await visitor.idles()

    # What may be sent is written down at once.
    assert (visitor.beacons(), await visitor.kept()) == ([], [])


async def test_where_the_gdpr_does_not_apply_its_platform_is_no_hindrance(visitor, street):
    a_page(street, TCF, source="page", data_pixel="off")

    await visitor.goes_to("/")
    await visitor.does("tell('tcloaded', [], false)")
    await visitor.does(bought("order-c5"))

    await visitor.sends()


async def test_who_takes_consent_back_has_nothing_left_behind(visitor, street):
    a_page(street, source="page", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.hears()
    await visitor.context.set_offline(True)
    await visitor.does(bought("order-c6"))
    await visitor.waits_for_a_failure()
    await visitor.does("twite('consent', {ad_storage: 'denied'})")

    kept = await visitor.does("Object.keys(localStorage)")
    assert (kept, await visitor.cookies()) == ([], {})


async def test_the_gateway_takes_away_what_scripts_cannot_see(visitor, street):
    a_page(street, source="hiding", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.hears()
    before = await visitor.cookies()
    await visitor.does("twite('consent', {ad_storage: 'denied'})")
    await until(lambda: len(visitor.beacons()) == 2)
    await visitor.page.wait_for_load_state("networkidle")

    assert (list(before), await visitor.cookies()) == (["_twite"], {})


async def test_who_agrees_again_has_the_click_kept_again(visitor, street):
    a_page(street, source="page", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.hears()
    await visitor.does("twite('consent', {ad_storage: 'denied'})")
    await until(lambda: len(visitor.beacons()) == 2)
    await visitor.does("twite('consent', {ad_storage: 'granted'})")
    await visitor.hears()

    assert (await visitor.cookies())["_twite"].endswith(TWCLID)


async def test_who_never_agreed_has_nothing_to_take_back(visitor, street):
    a_page(street, GTAG + DENIED, data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(DENIED.replace("default", "update"))
    await visitor.idles()

    assert visitor.beacons() == []


async def test_a_default_that_denies_is_not_taking_consent_back(visitor, street):
    a_page(street, GTAG, source="page", data_pixel="off")

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.hears()
    a_page(street, GTAG + DENIED, source="page", data_pixel="off")
    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")

    assert "_twite" in await visitor.cookies()


OPT_OUTS = {
    "gpc": ("", {"gpc": True}),
    "gpp": (GPP % 1, {"gpp": "DBABLA~BVQqAAAAAgA.QA", "gpp_sid": "7"}),
    "uspv1": (GPP_OF_OLD, {"gpp": "DBABTA~1YYN", "gpp_sid": "6"}),
}


@pytest.mark.parametrize("way", OPT_OUTS)
async def test_an_opt_out_of_sale_reaches_the_gateway_and_not_xs_pixel(visitor, street, way):
    head, signals = OPT_OUTS[way]
    a_page(street, head, source="page", data_pixel="load")
    if way == "gpc":
        await visitor.context.add_init_script(GPC)

    await visitor.goes_to("/")
    await visitor.does(bought(f"order-c7-{way}"))
    await visitor.sends()

    assert (visitor.beacons()[-1]["consent"], street.emulator.hits()["hits"]) == (signals, [])


@pytest.mark.parametrize("way", OPT_OUTS)
async def test_an_opt_out_of_sale_may_restrict_xs_use(visitor, street, way):
    a_page(street, OPT_OUTS[way][0], source="page", data_pixel="load", data_opt_out="restrict")
    if way == "gpc":
        await visitor.context.add_init_script(GPC)

    await visitor.goes_to("/")
    await visitor.does(bought(f"order-c8-{way}"))
    await until(lambda: len(street.hits()) == 1)

    hits = [hit["parameters"] for hit in street.emulator.hits()["hits"]]
    assert [hit.get("restricted_data_use") for hit in hits] == ["restrict_optimization"] * 2


async def test_who_did_not_opt_out_is_not_restricted(visitor, street):
    a_page(street, GPP % 2, source="page", data_pixel="load")

    await visitor.goes_to("/")
    await visitor.does(bought("order-c9"))
    await until(lambda: len(street.hits()) == 1)

    hits = [hit["parameters"] for hit in street.emulator.hits()["hits"]]
    assert [hit.get("restricted_data_use") for hit in hits] == [None, None]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("", "twite('consent', {ad_storage: true, ad_personalization: false})"),
        (TCF, "tell('tcloaded', [1, 7], true)"),
    ],
)
async def test_without_consent_to_profiles_xs_use_is_restricted(visitor, street, head, said):
    a_page(street, head, data_pixel="load")

    await visitor.goes_to("/")
    await visitor.does(said)
    await visitor.does(bought(f"order-c10-{len(head)}"))
    await until(lambda: len(street.hits()) == 1)

    hits = [hit["parameters"] for hit in street.emulator.hits()["hits"]]
    assert hits[-1].get("restricted_data_use") == "restrict_optimization"
