"""Open a page of a site in a browser, and note what Twite's script and X's pixel do there."""

import asyncio
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from twite.domain.errors import SettingsError

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Request, Response

# The path of X's hits is in the facts on X's pixel: GET /1/i/adsct, or /i/adsct of older code.
_KINDS: Final = {
    "script": re.compile(r"/twite(\.[0-9a-f]{16})?\.js"),
    "beacon": re.compile(r".*/t"),
    "pixel": re.compile(r".*/uwt\.js"),
    "hit": re.compile(r"(/1)?/i/adsct"),
}
_CHROMIUM: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_OPENING: Final = 30_000  # milliseconds until the page's HTML has arrived
_LOADING: Final = 10_000  # milliseconds until its images have; the check goes on without them
_ANSWERING: Final = 10.0  # seconds until the page's scripts let the check's own run
_STARTING: Final = 5.0  # seconds until the script runs
_SENDING: Final = 15.0  # seconds until the conversion was sent on both ways
_LOOK: Final = 0.1
_WATCH: Final = """
  window.__twiteBlocked = [];
  addEventListener('securitypolicyviolation', (event) =>
    event.disposition === 'enforce' &&
      __twiteBlocked.push([event.effectiveDirective, event.blockedURI]));
"""
_READ: Final = """() => ({
  runs: typeof window.twite === 'function' && window.twite.runs === true,
  has_pixel: typeof window.twq === 'function',
  pixel_runs: typeof window.twq === 'function' && typeof window.twq.exe === 'function',
  blocked: window.__twiteBlocked || [],
  platforms: [
    typeof window.__tcfapi === 'function' && 'TCF',
    typeof window.__gpp === 'function' && 'GPP',
    Array.from(window.dataLayer || []).some((entry) => entry && entry[0] === 'consent') &&
      'Google Consent Mode',
    navigator.globalPrivacyControl === true && 'Global Privacy Control',
  ].filter(Boolean),
})"""
_GRANT: Final = "() => twite('consent', {ad_storage: 'granted', ad_user_data: 'granted'})"
_CONVERT: Final = "([event, id, email]) => twite(event, {conversion_id: id, email: email})"


def place_of(url: str) -> str:
    """Return the URL without its password, and without its query, which may name a person."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


class SiteTest(msgspec.Struct, frozen=True, kw_only=True):
    """The page to open.

    `event` is the event to fire there, if any. `grants` says whether to grant consent before.
    `paths` are the paths of the script and of its beacon, with their kinds.
    """

    url: str
    event: str | None = None
    grants: bool = False
    paths: Mapping[str, str] = {}


class SiteRequest(msgspec.Struct, kw_only=True):
    """A request of the page. `status` is 0 without a response; `failure` is the browser's word."""

    kind: str
    url: str
    sent: str = ""
    status: int = 0
    failure: str = ""
    answer: str = ""

    @property
    def place(self) -> str:
        return place_of(self.url)


class PageState(msgspec.Struct, kw_only=True):
    """What the page's scripts are like; `blocked` has (directive, URI) of the page's policy."""

    runs: bool = False
    has_pixel: bool = False
    pixel_runs: bool = False
    platforms: tuple[str, ...] = ()
    blocked: tuple[tuple[str, str], ...] = ()


class SiteVisit(msgspec.Struct, kw_only=True):
    """A visit. `accepted` says whether the script took the conversion with `conversion_id`.

    `origin` is that of the page, after all redirects.
    """

    origin: str = ""
    status: int = 0
    failure: str = ""
    state: PageState = msgspec.field(default_factory=PageState)
    conversion_id: str = ""
    accepted: bool = False
    requests: list[SiteRequest] = []

    def of(self, kind: str) -> list[SiteRequest]:
        return [request for request in self.requests if request.kind == kind]

    def hits(self) -> list[SiteRequest]:
        """Return the hits of X's pixel with the conversion's id."""
        return [hit for hit in self.of("hit") if _id_of_hit(hit.url) == self.conversion_id]

    def beacons(self) -> list[SiteRequest]:
        """Return the messages to the gateway with the conversion's id."""
        return [beacon for beacon in self.of("beacon") if self.conversion_id in beacon.sent]


async def visit(test: SiteTest, *, find: Callable[[str], ModuleType] = import_module) -> SiteVisit:
    """Open the page and fire the event. Raises SettingsError without Playwright or a browser."""
    try:
        module: Any = find("playwright.async_api")
    except ImportError:
        raise SettingsError(
            "--site",
            "this needs the package playwright, which is not installed in twite's "
            f"environment: run `{sys.executable} -m pip install playwright`",
        ) from None
    async with module.async_playwright() as playwright:
        program = os.environ.get("TWITE_CHROMIUM") or next(
            filter(None, map(shutil.which, _CHROMIUM)), None
        )
        # Chromium's own sandbox does not start as root.
        flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        try:
            browser = await playwright.chromium.launch(
                executable_path=program,
                # The script ignores automated browsers.
                args=["--disable-blink-features=AutomationControlled", *flags],
            )
        except module.Error as error:
            raise SettingsError(
                "--site",
                f"no browser starts ({str(error).splitlines()[0]}). Install Chromium, or "
                "name its program in the variable TWITE_CHROMIUM",
            ) from None
        try:
            return await visit_in(browser, test, module.Error)
        finally:
            await browser.close()


async def visit_in(browser: "Browser", test: SiteTest, failing: type[Exception]) -> SiteVisit:
    """Do what `visit` does in a running browser; `failing` is Playwright's error."""
    probe = await browser.new_page()
    agent = str(await probe.evaluate("navigator.userAgent"))
    await probe.close()
    context = await browser.new_context(user_agent=agent.replace("Headless", ""))
    await context.add_init_script(_WATCH)
    page = await context.new_page()
    found = SiteVisit()
    _observe(page, found, test.paths, failing)
    try:
        response = await page.goto(test.url, timeout=_OPENING, wait_until="domcontentloaded")
    except failing as error:
        # Such as "Page.goto: net::ERR_CONNECTION_REFUSED at https://…". URLs may hold passwords.
        word = re.search(r"net::\w+", str(error))
        found.failure = word[0] if word else re.sub(r"\S+://\S+", "…", str(error).splitlines()[0])
        return found
    found.status = response.status if response else 0
    with suppress(failing):
        await page.wait_for_load_state(timeout=_LOADING)
    try:
        await _test(_Scripts(page, failing), found, test)
    except TimeoutError:
        found.failure = f"its scripts do not respond within {_ANSWERING:g} s"
    return found


class _Scripts:
    """Runs the check's own scripts on the page."""

    def __init__(self, page: "Page", failing: type[Exception]) -> None:
        self._page = page
        self._failing = failing

    async def run(self, script: str, given: object = None) -> object:
        """Return the script's result, from the next page if this one is just being left.

        Raises TimeoutError if the page's own scripts do not end.
        """
        async with asyncio.timeout(_ANSWERING):
            while True:
                with suppress(self._failing):
                    return await self._page.evaluate(script, given)
                await asyncio.sleep(_LOOK)

    async def state(self) -> PageState:
        return msgspec.convert(await self.run(_READ), PageState)


async def _test(scripts: _Scripts, visit: SiteVisit, test: SiteTest) -> None:
    end = time.monotonic() + _STARTING
    visit.state = await scripts.state()
    while not visit.state.runs and time.monotonic() < end:
        await asyncio.sleep(_LOOK)
        visit.state = await scripts.state()
    visit.origin = str(await scripts.run("location.origin"))
    if test.event is not None and visit.state.runs:
        await _convert(scripts, visit, test, test.event)
        visit.state = await scripts.state()


async def _convert(scripts: _Scripts, visit: SiteVisit, test: SiteTest, event: str) -> None:
    """Fire the event, and wait until the page has sent it to the gateway and to X."""
    if test.grants:
        await scripts.run(_GRANT)
    visit.conversion_id = f"twite-canary-{time.time_ns() // 1_000_000}"
    parts = [event, visit.conversion_id, "canary@twite.example"]
    visit.accepted = await scripts.run(_CONVERT, parts) == visit.conversion_id
    end = time.monotonic() + _SENDING * visit.accepted
    while time.monotonic() < end:
        await asyncio.sleep(_LOOK)
        sent = [visit.beacons(), *([visit.hits()] if visit.state.has_pixel else [])]
        if all(any(request.status or request.failure for request in way) for way in sent):
            break


def _observe(
    page: "Page", visit: SiteVisit, paths: Mapping[str, str], failing: type[Exception]
) -> None:
    """Note the requests that concern Twite and X's pixel, as they begin and end."""
    noted: dict[Request, SiteRequest] = {}

    def begun(request: "Request") -> None:
        path = urlsplit(request.url).path
        kind = paths.get(path) or next(
            (kind for kind, pattern in _KINDS.items() if pattern.fullmatch(path)), None
        )
        if kind is None or (kind == "beacon" and request.method != "POST"):
            return
        sent = (request.post_data or "") if kind == "beacon" else ""
        noted[request] = SiteRequest(kind=kind, url=request.url, sent=sent)
        visit.requests.append(noted[request])

    async def answered(response: "Response") -> None:
        known = noted.get(response.request)
        if known is None:
            return
        if known.kind == "beacon":
            with suppress(failing):  # an empty body, or a page that was left
                known.answer = await response.text()
        known.status = response.status

    def failed(request: "Request") -> None:
        if request in noted:
            noted[request].failure = request.failure or "failed"

    page.on("request", begun)
    page.on("response", answered)
    page.on("requestfailed", failed)


def _id_of_hit(url: str) -> str:
    """Return the conversion id of a hit of X's pixel: `event` is JSON."""
    [event, *_] = parse_qs(urlsplit(url).query).get("event", [""])
    with suppress(ValueError):
        read = json.loads(event)
        if isinstance(read, dict):
            return str(read.get("conversion_id", ""))
    return ""
