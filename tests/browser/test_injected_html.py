"""HTML without scripts that an attacker puts into a page: a review, a name, a search text.

Named elements replace properties of the document, and add properties to the window. With them, an
attacker can at most stop the script. No other script runs, and no other server gets a conversion.
"""

import re
from importlib.resources import files
from urllib.parse import urlsplit

import pytest
from visitor import TWCLID, bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

ONCE = {"api": 1, "pixel": 1, "counted": 1}
SCRIPT = files("twite.http.script").joinpath("twite.js").read_text("utf-8")
# Properties of document and window, by the ways in which the script reads them.
READS = re.compile(r"\b[dw]\.(\w+)|\b(?:callable\(|prototype, )'(\w+)'|\b(trustedTypes)\.")
NAMES = sorted({"".join(found) for found in READS.findall(SCRIPT)} | {"querySelector"})
# Any value without a valid response counts as a denial.
SILENT = {"__tcfapi", "__gpp"}
# Properties that the script reads from the window's properties.
PARTS = ("runs", "q", "exe", "queue", "ics", "entries", "addListener", "push", "src", "dataset")
ADDRESSES = (
    "data-pixel-url='{evil}/stolen.js' data-gateway='{evil}/stolen/' data-pixel='load'"
    " data-pixel-id='o8z6j' data-consent='optional' src='{evil}/own'"
)
FIELDS = "".join(f"<input name='{part}' value='{{evil}}/stolen.js'>" for part in PARTS)
LINKS = "".join(f"<a id='{{name}}' name='{part}' href='{{evil}}/stolen.js'></a>" for part in PARTS)
INNER = "".join(f"<a id='{part}' href='{{evil}}/stolen.js'></a>" for part in PARTS)
# Elements with such a name.
ELEMENTS = {
    "image": f"<img name='{{name}}' id='{{name}}' {ADDRESSES}>",
    "embed": f"<embed name='{{name}}' id='{{name}}' {ADDRESSES}>",
    "form": f"<form name='{{name}}' id='{{name}}' {ADDRESSES}>{FIELDS}</form>",
    "links": LINKS,
    "frame": "<iframe name='{name}' src='{evil}/own'></iframe>",
    "inner frame": f"<iframe name='{{name}}' srcdoc=\"{INNER}\"></iframe>",
}


def evil(site) -> str:
    """Another host, whose requests are listed among the shop's."""
    return f"http://evil.localhost:{urlsplit(site.shop.origin).port}"


@pytest.fixture
def attacker(site):
    site.shop.clear()
    site.shop.file("/stolen.js", "top.stolen = true;")
    site.shop.file("/own", "", "text/html")
    return evil(site)


def stolen(site) -> list[str]:
    return [path for path in site.shop.asked if path.startswith("/stolen")]


async def test_list_of_tested_names_contains_the_properties_that_the_script_reads():
    assert {"currentScript", "cookie", "head", "twite", "twq", "dataLayer", "__tcfapi"} < set(NAMES)


async def test_image_named_currentscript_is_not_taken_for_the_script(visitor, site, attacker):
    image = (
        f"<img name='currentScript' src='{attacker}/own' data-pixel-url='{attacker}/stolen.js'"
        f" data-gateway='{attacker}/stolen/'>"
    )
    site.shop.page("/", image + site.tag(data_pixel="load"))

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await visitor.does(bought("order-i1"))
    await until(lambda: site.counted("order-i1") == ONCE)

    assert (await visitor.does("window.stolen"), stolen(site)) == (None, [])


def a_page_of_frames(site, attacker: str, kind: str, consent: str) -> None:
    """A page with a frame for each name, in which a conversion has its name as id."""
    frames = "".join(f"<iframe src='/{name}'></iframe>" for name in NAMES)
    site.shop.page("/", frames)
    for name in NAMES:
        element = ELEMENTS[kind].format(name=name, evil=attacker)
        call = (
            f"onload = () => {{ twite('config', {{pixel: 'load', pixel_url: '{site.pixel_url}'}});"
            f" twite('consent', {{ad_storage: '{consent}'}});"
            f" twite('purchase', {{order_id: '{name}'}}); }};"
        )
        tag = f"<script async src='{site.gateway_url}/twite.js?s=asking'></script>"
        site.shop.page(f"/{name}", f"{element}{tag}<script>{call}</script>")


async def loaded_scripts(visitor) -> set[str]:
    found = await visitor.does(
        "Array.from(frames, (page) => Array.from(page.document.scripts, (tag) => tag.src)).flat()"
    )
    return {address for address in found if address}


@pytest.mark.parametrize("kind", ELEMENTS)
async def test_named_elements_run_no_script_and_divert_no_conversion(visitor, site, attacker, kind):
    a_page_of_frames(site, attacker, kind, "granted")

    await visitor.goes_to("/")
    sent = {
        conversion["conversion_id"] for conversion in await visitor.sends(len(NAMES) - len(SILENT))
    }
    await visitor.wait_until_queue_is_empty()

    scripts = await loaded_scripts(visitor)
    assert (await visitor.does("window.stolen"), stolen(site)) == (None, [])
    assert scripts == {f"{site.gateway_url}/twite.js?s=asking", site.pixel_url}
    assert set(NAMES) - sent == SILENT


@pytest.mark.parametrize("kind", ["embed", "form"])
async def test_named_elements_grant_no_consent(visitor, site, attacker, kind):
    a_page_of_frames(site, attacker, kind, "denied")

    await visitor.goes_to("/")
    await visitor.page.wait_for_load_state("networkidle")

    scripts = await loaded_scripts(visitor)
    assert (visitor.beacons(), await visitor.queued(), stolen(site)) == ([], [], [])
    assert scripts == {f"{site.gateway_url}/twite.js?s=asking"}


async def test_inert_script_element_is_not_taken_for_the_script(visitor, site, attacker):
    """Without `document.currentScript`, as in modules, the page names the gateway."""
    inert = f"<script type='text/plain' src='{attacker}/twite.js?s=page' {ADDRESSES}></script>"
    site.shop.page(
        "/",
        inert.format(evil=attacker)
        + f"<script>{site.stub()}"
        + f"twite('config', {{gateway: '{site.gateway_url}/', pixel: 'load'}});</script>"
        + f"<script type='module' src='{site.gateway_url}/twite.js?s=page'></script>",
    )

    await visitor.goes_to("/")
    await visitor.does(bought("order-i2"))
    await until(lambda: site.counted("order-i2") == ONCE)

    assert (await visitor.does("window.stolen"), stolen(site)) == (None, [])


async def test_attributes_of_the_script_cannot_set_another_server(visitor, site, attacker):
    tag = site.tag(
        data_pixel="load",
        data_pixel_url=f"{attacker}/stolen.js",
        data_gateway=f"{attacker}/stolen",
    )
    site.shop.page("/", "", head=tag)

    await visitor.goes_to("/")
    await visitor.does(bought("order-i3"))
    await until(lambda: site.counted("order-i3") == ONCE)

    assert (await visitor.does("window.stolen"), stolen(site)) == (None, [])


async def test_script_loads_the_pixel_on_a_page_that_requires_trusted_types(visitor, site):
    policy = "require-trusted-types-for 'script'; trusted-types twite"
    site.shop.page("/", "", head=site.tag(data_pixel="load"), content_security_policy=policy)
    blocked = []
    visitor.page.on("console", lambda message: blocked.append(message.text))

    await visitor.goes_to("/")
    await visitor.does(bought("order-i4"))
    await until(lambda: site.counted("order-i4") == ONCE)

    assert [text for text in blocked if "Content Security Policy" in text] == []
