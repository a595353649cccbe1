"""Opt-out of sale, and consent only to measurement: what X's pixel receives."""

import pytest
from consent_words import EUROPE, GPC, GPP, NOT_OUT, OUT, TCF, US, US_OF_OLD, a_page, in_gpp
from visitor import bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

OPT_OUTS = {
    "gpc": ("", {"gpc": True}),
    "gpp": (GPP + US % f"[{OUT}]", {"gpp": "DBABLA~CEAQAAAAAABA.QA", "gpp_sid": "7"}),
    "gpp, flat": (GPP + US % OUT, {"gpp": "DBABLA~CEAQAAAAAABA.QA", "gpp_sid": "7"}),
    "uspv1": (GPP + US_OF_OLD, {"gpp": "DBABTA~1YYN", "gpp_sid": "6"}),
}


@pytest.mark.parametrize("way", OPT_OUTS)
async def test_opt_out_of_sale_is_sent_to_the_gateway_and_not_to_the_pixel(visitor, site, way):
    head, signals = OPT_OUTS[way]
    a_page(site, head, source="page", data_pixel="load")
    if way == "gpc":
        await visitor.context.add_init_script(GPC)

    await visitor.goes_to("/")
    await visitor.does(bought(f"order-c7-{way}"))
    await visitor.sends()

    assert (visitor.beacons()[-1]["consent"], site.emulator.hits()["hits"]) == (signals, [])


async def test_script_waits_until_the_gpp_platform_is_ready(visitor, site):
    a_page(site, GPP, source="page", data_pixel="load")

    await visitor.goes_to("/")
    await visitor.does(bought("order-c14"))
    await visitor.wait_until_idle()
    early = visitor.beacons(), await visitor.queued()
    await visitor.does(US % f"[{OUT}]")
    await visitor.sends()
    await visitor.wait_until_settled()

    assert (early, site.emulator.hits()["hits"]) == (([], []), [])


@pytest.mark.parametrize("way", OPT_OUTS)
async def test_opt_out_of_sale_can_restrict_data_use_at_x(visitor, site, way):
    a_page(site, OPT_OUTS[way][0], source="page", data_pixel="load", data_opt_out="restrict")
    if way == "gpc":
        await visitor.context.add_init_script(GPC)

    await visitor.goes_to("/")
    await visitor.does(bought(f"order-c8-{way}"))
    await until(lambda: len(site.hits()) == 1)

    hits = [hit["parameters"] for hit in site.emulator.hits()["hits"]]
    assert [hit.get("restricted_data_use") for hit in hits] == ["restrict_optimization"] * 2


@pytest.mark.parametrize("head", [GPP + US % f"[{NOT_OUT}]", GPP + in_gpp(2, EUROPE["1, 3, 4, 7"])])
async def test_data_use_at_x_is_unrestricted_without_an_opt_out(visitor, site, head):
    a_page(site, head, source="page", data_pixel="load")

    await visitor.goes_to("/")
    await visitor.does(bought(f"order-c9-{len(head)}"))
    await until(lambda: len(site.hits()) == 1)

    hits = [hit["parameters"] for hit in site.emulator.hits()["hits"]]
    assert [hit.get("restricted_data_use") for hit in hits] == [None, None]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("", "twite('consent', {ad_storage: true, ad_personalization: false})"),
        (TCF, "tell('tcloaded', [1, 7], true)"),
        (GPP, in_gpp(2, EUROPE["1, 7"])),
    ],
)
async def test_data_use_at_x_is_restricted_without_consent_to_profiles(visitor, site, head, said):
    a_page(site, head, data_pixel="load")

    await visitor.goes_to("/")
    await visitor.wait_until_idle()
    await visitor.does(said)
    await visitor.does(bought(f"order-c10-{len(head)}"))
    await until(lambda: len(site.hits()) == 1)

    hits = [hit["parameters"] for hit in site.emulator.hits()["hits"]]
    assert hits[-1].get("restricted_data_use") == "restrict_optimization"
