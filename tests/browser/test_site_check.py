"""`twite check --site` on pages of a shop.

One test uses the browser that the check starts, and the others that of all tests: a start takes
most of the CPU of a check.
"""

import socket
import sys

import pytest
import pytest_asyncio
from playwright.async_api import Error

from twite.diagnostics import CheckStatus, SiteTest, examine_site
from twite.diagnostics.site_visit import PageState, SiteRequest, SiteVisit, visit, visit_in
from twite.domain.errors import SettingsError

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.journey]

PASSED, WARNING, FAILED = CheckStatus


@pytest.fixture
def check_in_own_browser(site, chromium, monkeypatch):
    """Check a page; return status and text of each topic."""
    monkeypatch.setenv("TWITE_CHROMIUM", chromium)
    site.shop.clear()
    site.emulator.reset("received")

    async def checked(path="/", *, event="purchase", grants=False, origin=None):
        test = SiteTest(url=f"{origin or site.shop.origin}{path}", event=event, grants=grants)
        findings = [finding async for finding in examine_site(site.gateway.config, {}, test)]
        return {finding.topic: (finding.status, finding.found) for finding in findings}

    return checked


@pytest_asyncio.fixture(loop_scope="session")
async def check(check_in_own_browser, browser, monkeypatch):
    """Check a page in a new context of the browser of all tests."""
    others = list(browser.contexts)

    async def visited(test):
        return await visit_in(browser, test, Error)

    monkeypatch.setattr(sys.modules["twite.diagnostics.site"], "visit", visited)
    yield check_in_own_browser
    for context in browser.contexts:
        if context not in others:
            await context.close()


def conversion_of(found):
    return found["site ids"][1].split()[-1]


async def test_complete_page_passes_and_its_test_conversion_counts_once(check_in_own_browser, site):
    site.shop.page("/", "", head=site.tag() + site.x_tag())

    found = await check_in_own_browser()

    assert {status for status, _ in found.values()} == {PASSED}
    assert [*found] == [
        "site",
        "site script",
        "site pixel",
        "site consent",
        "site beacon",
        "site ids",
        "canary",
    ]
    assert site.counted(conversion_of(found)) == {"api": 1, "pixel": 1, "counted": 1}


async def test_check_without_an_event_sends_nothing(check, site):
    site.shop.page("/", "", head=site.tag() + site.x_tag())

    found = await check(event=None)

    assert {status for status, _ in found.values()} == {PASSED}
    assert found["site consent"][1] == "the page has no consent platform"
    assert (site.sent(), site.hits()) == ([], [])


async def test_page_without_the_script_fails(check, site):
    site.shop.page("/", "", head=site.x_tag())

    assert (await check())["site script"] == (FAILED, "the page does not load /twite.js")


async def test_page_that_cannot_be_opened_fails(check):
    found = await check("/", origin="http://127.0.0.1:9")

    text = "http://127.0.0.1:9/ cannot be opened: net::ERR_UNSAFE_PORT"
    assert found == {"site": (FAILED, text)}


async def test_content_security_policy_that_blocks_the_script_is_reported(check, site):
    policy = "script-src 'self' 'unsafe-inline'"
    site.shop.page("/", "", head=site.tag(), content_security_policy=policy)

    found = await check()

    host = site.gateway_url.removeprefix("http://")
    blocked = f"the page's Content Security Policy blocks {host} (script-src-elem)"
    assert found["site"] == (FAILED, blocked)
    assert found["site script"][0] is FAILED


async def test_content_security_policy_that_blocks_requests_is_reported(check, site):
    policy = "connect-src 'self'"
    site.shop.page("/", "", head=site.tag(), content_security_policy=policy)

    found = await check()

    host = site.gateway_url.removeprefix("http://")
    assert found["site script"][0] is PASSED
    assert found["site beacon"][0] is FAILED
    # The policy's report arrives after the first findings, so the last state counts.
    assert found["site"] == (
        FAILED,
        f"the page's Content Security Policy blocks {host} (connect-src)",
    )


async def test_page_without_consent_is_a_warning_until_consent_is_granted(check, site):
    site.shop.page("/", "", head=site.tag("asking") + site.x_tag())

    waiting = await check()
    granted = await check(grants=True)

    text = "the script waits for consent; the page has no consent platform"
    assert waiting["site consent"] == (WARNING, text)
    assert "site beacon" not in waiting
    assert {status for status, _ in granted.values()} == {PASSED}


async def test_consent_platform_of_the_page_is_named(check, site):
    platform = "<script>window.__tcfapi = () => {};</script>"
    site.shop.page("/", "", head=platform + site.tag())

    found = await check(grants=True)

    assert found["site consent"] == (WARNING, "the script waits for consent; the page has TCF")


async def test_page_without_the_pixel_is_a_warning(check, site):
    site.shop.page("/", "", head=site.tag())

    found = await check()

    assert found["site pixel"] == (WARNING, "X's pixel is not on the page")
    assert found["canary"][0] is PASSED


async def test_blocked_pixel_is_a_warning(check, site):
    nowhere = site.x_tag().replace(site.pixel_url, "http://127.0.0.1:9/uwt.js")
    site.shop.page("/", "", head=site.tag() + nowhere)

    found = await check()

    assert found["site pixel"][0] is WARNING
    assert found["site pixel"][1].startswith("X's script was not loaded: net::ERR")
    assert found["site beacon"][0] is PASSED


async def test_page_whose_origin_no_source_lists_fails(check, site):
    site.shop.page("/", "", head=site.tag() + site.x_tag())
    origin = site.shop.origin.replace("shop.localhost", "other.localhost")

    found = await check(origin=origin)

    text = f"source page does not accept pages of {origin}"
    assert found["site script"] == (FAILED, text)
    assert found["site beacon"][0] is FAILED


async def test_password_and_query_in_the_url_of_the_page_are_not_shown(check, site):
    site.shop.page("/", "", head=site.tag())
    origin = site.shop.origin.replace("//", "//staff:open-sesame@")

    found = await check("/?email=ann@example.com", origin=origin)

    assert found["site"] == (PASSED, f"{site.shop.origin}/ answers 200")


async def test_report_only_content_security_policy_is_not_a_finding(check, site):
    policy = {"content_security_policy_report_only": "default-src 'self'"}
    site.shop.page("/", "", head=site.tag() + site.x_tag(), **policy)

    assert {status for status, _ in (await check()).values()} == {PASSED}


@pytest.mark.parametrize(
    ("host", "status"),
    [("static.wix.com", PASSED), ("t.co", FAILED), ("analytics.twitter.com", FAILED)],
)
async def test_only_hosts_of_x_that_are_blocked_are_named(check, site, host, status):
    image = f"<img src='http://{host}/a.png'>"
    policy = "img-src 'self'"
    site.shop.page("/", image, head=site.tag(), content_security_policy=policy)

    assert (await check(event=None))["site"][0] is status


async def test_page_with_an_image_that_never_loads_is_checked(check, site, monkeypatch):
    monkeypatch.setattr("twite.diagnostics.site_visit._LOADING", 100)
    monkeypatch.setattr("twite.diagnostics.site_visit._OPENING", 5_000)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"<img src='http://127.0.0.1:{silent.getsockname()[1]}/a.png'>"
        site.shop.page("/", image, head=site.tag() + site.x_tag())

        assert {status for status, _ in (await check()).values()} == {PASSED}


async def test_page_whose_scripts_do_not_finish_fails(check, site, monkeypatch):
    monkeypatch.setattr("twite.diagnostics.site_visit._ANSWERING", 1.0)
    endless = "<script>addEventListener('load', () => setTimeout(() => { for (;;) {} }))</script>"
    site.shop.page("/", "", head=site.tag() + endless)

    status, text = (await check())["site"]

    assert status is FAILED
    assert text.endswith("cannot be opened: its scripts do not respond within 1 s")


async def test_unknown_event_is_refused_before_the_page_is_opened(check, site):
    with pytest.raises(SettingsError, match="has no event 'buy'"):
        await check(event="buy")

    assert site.shop.asked == []


async def test_missing_playwright_is_explained():
    def find(name):
        raise ImportError(name)

    with pytest.raises(SettingsError, match="-m pip install playwright"):
        await visit(SiteTest(url="http://shop.example"), find=find)


async def test_check_does_not_search_the_store_for_a_rejected_conversion(check, monkeypatch):
    answer = '{"rejected": [{"index": 0, "errors": [{"code": "identifier_missing"}]}]}'

    async def visited(_test):
        beacon = SiteRequest(
            kind="beacon", url="http://t.shop.example/t", sent="c-1", status=200, answer=answer
        )
        script = SiteRequest(kind="script", url="http://t.shop.example/twite.js", status=200)
        return SiteVisit(
            status=200, accepted=True, conversion_id="c-1", state=PageState(runs=True),
            requests=[script, beacon],
        )  # fmt: skip

    monkeypatch.setattr(sys.modules["twite.diagnostics.site"], "visit", visited)
    found = await check()

    text = "the gateway rejected the conversion: identifier_missing"
    assert found["site beacon"] == (FAILED, text)
    assert "canary" not in found
