"""The script's debugger in Chromium: what it prints to the console, and what it leaves alone."""

import pytest
from visitor import SHOPPERS_PHONE, TWCLID, bought, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

ONCE = {"api": 1, "pixel": 0, "counted": 1}


def printed_by(visitor) -> list[str]:
    lines: list[str] = []
    visitor.page.on("console", lambda message: lines.append(message.text))
    return lines


def debug_tag(site) -> str:
    return site.tag(data_pixel="off").replace("twite.js?s=page", "twite.js?s=page&debug=1")


async def test_debugger_names_misspelt_events_and_fields(visitor, site):
    call = "<script>twite('purchse', {order_id: 'd0', value: 1, curency: 'EUR'})</script>"
    site.shop.page("/", call, head=debug_tag(site))
    lines = printed_by(visitor)

    await visitor.goes_to("/")
    fields = "contents: [{pric: 1}], shipping: 'free', tax: 1, new_customer: true, foo: 1"
    await visitor.does(f"twite('purchase', {{order_id: 'd1', {fields}}})")
    said = {
        "[twite] purchse is no event of this source: did you mean purchase?",
        "[twite] unknown field curency: did you mean currency?",
        "[twite] unknown field pric in contents: did you mean price?",
        "[twite] purchase: shipping is not an amount",
        "[twite] unknown field foo",
    }
    await until(lambda: said <= set(lines))
    assert not [line for line in lines if "tax is" in line or "field new_customer" in line]


async def test_debugged_conversion_is_sent_once_and_its_answer_is_printed(visitor, site):
    site.shop.page("/", "", head=debug_tag(site), content_security_policy=policy(site))
    lines = printed_by(visitor)

    await visitor.goes_to(f"/?twclid={TWCLID}")
    await until(lambda: any("debugging source" in line for line in lines))
    await visitor.does(bought("order-debug"))
    await until(lambda: site.counted("order-debug") == ONCE)
    await until(lambda: "[twite] purchase order-debug: stored (status 204)" in lines)

    assert "[twite] purchase has the id order-debug" in lines
    assert any(line.startswith("[twite] sent, consent: ") for line in lines)
    assert any(line.startswith("[twite] consent (optional): ") for line in lines)
    assert any(line.startswith("[twite] queue: ") for line in lines)
    assert not [line for line in lines if "hopper@" in line or SHOPPERS_PHONE.search(line)]
    assert not [line for line in lines if "Content Security Policy" in line]


@pytest.mark.parametrize("start", ["url", "call"])
async def test_any_page_can_be_debugged_by_its_url_or_a_call(visitor, site, start):
    calls = bought("d6").replace("currency:", "curency: 'EUR', currency:")
    if start == "call":
        calls = f"twite('debug'); {calls}"
    # The script of the page: never changed by the debugger.
    site.shop.page(
        "/",
        f"<script>{calls}</script>",
        head=site.tag(data_pixel="off"),
        content_security_policy=policy(site),
    )
    lines = printed_by(visitor)

    await visitor.goes_to("/?twite_debug=1" if start == "url" else "/")
    await until(lambda: any("purchase d6: stored" in line for line in lines))

    assert "[twite] unknown field curency: did you mean currency?" in lines
    assert any(line.startswith("[twite] consent (optional): ") for line in lines)
    assert not [line for line in lines if "opper@" in line.lower() or "Security Policy" in line]
    # Calls after it are judged, too.
    await visitor.does("twite('purchse', {order_id: 'd7'})")
    assert "[twite] purchse has the id d7" in lines
    assert "[twite] purchse is no event of this source: did you mean purchase?" in lines


async def test_rejected_conversion_is_printed_with_its_code_field_and_fix(visitor, site):
    site.shop.page("/", "", head=debug_tag(site), content_security_policy=policy(site))
    lines = printed_by(visitor)

    await visitor.goes_to("/")
    # Both in one message: each has its own verdict.
    await visitor.does(
        "twite('purchse', {order_id: 'd9', email: 'shopper@example.com'});" + bought("d10")
    )
    await until(lambda: any("d10: stored" in line for line in lines))
    await until(lambda: any("d9: rejected" in line for line in lines))

    [line] = [line for line in lines if "d9: rejected" in line]
    assert line.startswith("[twite] purchse d9: rejected: event_unknown in event: ")
    assert " Add the event to events in twite.toml, or correct its name at the source." in line
    assert not [line for line in lines if "hopper@" in line]


async def test_refused_message_is_printed_with_its_code(visitor, site):
    site.shop.page("/", "", head=debug_tag(site))
    lines = printed_by(visitor)
    await visitor.goes_to("/")
    await until(lambda: any("debugging source" in line for line in lines))

    await visitor.page.evaluate(
        """fetch(new URL('/t?s=page', document.querySelector('script[src]').src), {method: 'POST',
          credentials: 'include', body: JSON.stringify({v: 1, sent: 0, conversions: 5})})"""
    )
    await until(lambda: any("rejected (status 400)" in line for line in lines))

    [line] = [line for line in lines if "rejected (status 400)" in line]
    assert "(status 400): wrong_shape in conversions: " in line


async def test_source_in_test_mode_is_printed(visitor, site):
    site.shop.page("/", "", head=debug_tag(site).replace("s=page", "s=testing"))
    lines = printed_by(visitor)

    await visitor.goes_to("/")
    await visitor.does(bought("d11"))
    test_mode = "[twite] test mode: X gets no conversions of source testing"
    await until(lambda: test_mode in lines)

    assert any("d11: stored" in line for line in lines)


async def test_consent_that_comes_later_is_printed(visitor, site):
    site.shop.page("/", "", head=site.tag("asking", data_pixel="off"))
    lines = printed_by(visitor)

    await visitor.goes_to("/?twite_debug=1")
    await until(lambda: any("no signal: calls wait" in line for line in lines))
    await visitor.does("twite('consent', {ad_storage: 'granted'})")

    await until(lambda: any("ad_storage=granted: calls are sent" in line for line in lines))


async def test_conversions_are_sent_if_the_debugger_cannot_be_loaded(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    await visitor.context.route("**/twite.debug.js", lambda route: route.abort())

    await visitor.goes_to("/?twite_debug=1")
    await visitor.does(bought("d8"))

    await until(lambda: site.counted("d8") == ONCE)


async def test_conversion_without_consent_is_said_to_wait(visitor, site):
    tag = site.tag("asking").replace("twite.js?s=asking", "twite.js?s=asking&debug=1")
    site.shop.page("/", "", head=tag)
    lines = printed_by(visitor)

    await visitor.goes_to("/")
    await visitor.does("twite('purchase', {order_id: 'd3'})")
    await until(lambda: any("waits for consent" in line for line in lines))

    assert visitor.beacons() == []


async def test_call_in_an_automated_browser_is_withheld_and_counted(visitor, site):
    site.shop.page("/", "", head=debug_tag(site).replace("s=page", "s=asking"))
    await visitor.context.add_init_script(
        "Object.defineProperty(navigator, 'webdriver', {value: true})"
    )
    lines = printed_by(visitor)

    await visitor.goes_to("/")
    await until(lambda: any("debugging source" in line for line in lines))
    await visitor.does(bought("d12"))
    await until(lambda: any("status 204" in line for line in lines))

    assert (
        "[twite] purchase: withheld, because the browser is automated. Only a notice without "
        "personal data is sent" in lines
    )
    assert (
        "[twite] purchase is withheld, because the browser is automated: it is only counted"
        in lines
    )
    assert "[twite] notice without personal data: counted (status 204)" in lines
    assert not [line for line in lines if "sent, consent" in line or "waits for consent" in line]


async def test_message_of_withdrawn_consent_is_called_a_notice(visitor, site):
    site.shop.page("/", "", head=debug_tag(site))
    lines = printed_by(visitor)
    await visitor.goes_to(f"/?twclid={TWCLID}")
    await until(lambda: any("the click id: received" in line for line in lines))
    sent = [line for line in lines if line.startswith("[twite] sent, consent")]

    await visitor.does("twite('consent', {ad_storage: 'denied'})")
    await until(lambda: any("notice without personal data: received" in line for line in lines))

    assert (
        "[twite] withheld, because consent is denied (ad_storage=denied). Only a notice without "
        "personal data is sent, so that the gateway deletes its cookie" in lines
    )
    assert [line for line in lines if line.startswith("[twite] sent, consent")] == sent


async def test_answer_that_a_page_may_not_read_is_explained(visitor, site):
    site.shop.page("/", "", head=debug_tag(site).replace("s=page", "s=elsewhere"))
    lines = printed_by(visitor)

    await visitor.goes_to("/")
    await visitor.does(bought("d13"))
    await until(lambda: any("d13: no answer" in line for line in lines))

    assert next(line for line in lines if "d13: no answer" in line) == (
        "[twite] purchase d13: no answer that this page may read, so it stays in the queue. If the "
        "browser's network panel shows the status 403, the response names the reason, such as "
        f"{site.shop.origin} missing in origins of source elsewhere. Without a status, the "
        "gateway cannot be reached"
    )


async def test_page_without_the_debugger_prints_nothing(visitor, site):
    site.shop.page("/", "", head=site.tag(data_pixel="off"))
    lines = printed_by(visitor)

    await visitor.goes_to("/")
    await visitor.does("twite('purchse', {order_id: 'd4', curency: 'EUR'})")
    await visitor.sends()

    assert [line for line in lines if "[twite]" in line] == []


def policy(site) -> str:
    return (
        f"default-src 'none'; script-src 'unsafe-inline' {site.gateway_url}; "
        f"connect-src {site.gateway_url}; require-trusted-types-for 'script'"
    )
