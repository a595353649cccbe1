"""Check a page of a shop as a visitor's browser sees it: the script, X's pixel, and both ways to X.

Without an event, the check sends nothing. With one, X counts a real conversion: once, because both
ways send the same id. Its email address is reserved and belongs to nobody.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from twite.config.settings import Settings
from twite.diagnostics.canary import TestConversion, follow, sender
from twite.diagnostics.site_visit import SiteRequest, SiteTest, SiteVisit, place_of, visit
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning

_PAGE_HOW_TO: Final = "“Add the script to a page” in the documentation"
_STORED: Final = 204
_ACCEPTED: Final = {200, _STORED}
_OK: Final = 200
_ERRORS: Final = 400
_HOSTS_OF_X: Final = ("t.co", "twitter.com", "x.com", "ads-twitter.com")


class _Rejected(msgspec.Struct):
    errors: list[dict[str, str]] = []


class _BeaconAnswer(msgspec.Struct):
    rejected: list[_Rejected] = []


async def site(
    settings: Settings, test: SiteTest, *, pixel: str | None = None
) -> AsyncIterator[CheckFinding]:
    """Open the page, fire the event, and follow it to X.

    Raises SettingsError for an unknown event, and without Playwright or a browser.
    """
    conversion = None
    if test.event is not None:
        conversion = TestConversion(event=test.event, pixel=pixel)
        sender(settings, conversion)
    server = settings.server
    paths = {server.script_path: "script", server.beacon_path: "beacon"}
    visited = await visit(msgspec.structs.replace(test, paths=paths))
    for finding in findings(visited, settings, test):
        yield finding
    # With 200 instead, the gateway has rejected the conversion.
    if conversion is not None and any(beacon.status == _STORED for beacon in visited.beacons()):
        async for finding in follow(settings, conversion, visited.conversion_id):
            yield finding


def findings(visit: SiteVisit, settings: Settings, test: SiteTest) -> Iterator[CheckFinding]:
    """Yield what the visit showed, in the order in which a page works."""
    if visit.failure or visit.status >= _ERRORS:
        yield failed(
            "site",
            f"{place_of(test.url)} cannot be opened: {visit.failure or visit.status}",
            "The page could not be checked.",
            "Check the URL in a browser.",
        )
        return
    yield passed("site", f"{place_of(test.url)} answers {visit.status}")
    yield from _policy(visit, settings)
    yield from _script(visit, settings)
    if visit.state.runs:
        yield from _pixel(visit)
        if test.event is None:
            yield from _consent(visit)
        else:
            yield from _conversion(visit, test)


def _policy(visit: SiteVisit, settings: Settings) -> Iterator[CheckFinding]:
    """Yield what the page's policy blocks of the hosts that matter."""
    ours = urlsplit(settings.server.public_url or "").netloc
    known = {urlsplit(request.url).netloc for request in visit.requests} | {ours}
    blocked = [(directive, urlsplit(uri).netloc) for directive, uri in visit.state.blocked]
    for directive, host in dict.fromkeys(blocked):
        if host and (host in known or f".{host}".endswith(tuple(f".{of}" for of in _HOSTS_OF_X))):
            yield failed(
                "site",
                f"the page's Content Security Policy blocks {host} ({directive})",
                "The script or X's pixel cannot work on this page.",
                f"Add https://{host} to {directive}: see {_PAGE_HOW_TO}.",
            )


def _script(visit: SiteVisit, settings: Settings) -> Iterator[CheckFinding]:
    scripts = visit.of("script")
    if not scripts:
        yield failed(
            "site script",
            f"the page does not load {settings.server.script_path}",
            "Twite gets no click ids and no conversions from this page.",
            f"Add the script's tag to the <head> of every page: see {_PAGE_HOW_TO}.",
        )
        return
    script = scripts[0]
    public = settings.server.public_url
    if script.status != _OK:
        yield failed(
            "site script",
            f"{script.place} cannot be loaded: {script.failure or script.status or 'no response'}",
            "Twite gets no click ids and no conversions from this page.",
            "Check the address in the page's tag, and that the proxy forwards the script's paths.",
        )
    elif not visit.state.runs:
        yield failed(
            "site script",
            f"{script.place} was loaded, but does not run",
            "Twite gets no click ids and no conversions from this page.",
            "Look for errors in the browser's console, and for an integrity attribute of an older "
            "script.",
        )
    elif public is not None and urlsplit(public).netloc != urlsplit(script.url).netloc:
        yield warning(
            "site script",
            f"the page loads {script.place}, but server.public_url is {public}",
            "The page may send its conversions to another gateway.",
            "Correct the address in the page's tag, or server.public_url.",
        )
    else:
        yield passed("site script", f"{script.place} runs")
    yield from _source(visit, script, settings)


def _source(visit: SiteVisit, request: SiteRequest, settings: Settings) -> Iterator[CheckFinding]:
    """Yield a fault if the source that the script's URL names does not accept the page."""
    [name, *_] = parse_qs(urlsplit(request.url).query).get("s", [""])
    source = next((source for source in settings.submitters if source.name == name), None)
    if source is not None and visit.origin not in source.origins:
        yield failed(
            "site script",
            f"source {name} does not accept pages of {visit.origin}",
            "The gateway refuses the messages of this page.",
            "Add it to the source's origins, and run twite reload.",
        )


def _pixel(visit: SiteVisit) -> Iterator[CheckFinding]:
    scripts = visit.of("pixel")
    if not visit.state.has_pixel:
        yield warning(
            "site pixel",
            "X's pixel is not on the page",
            "X gets the page's conversions from the gateway only.",
            'Add X\'s pixel to the page, or set x_pixel = "load" for the source, unless this is '
            "intended, or the page's consent platform loads it only after consent: the test cannot "
            "answer its banner.",
        )
    elif not visit.state.pixel_runs:
        why = next((script.failure for script in scripts if script.failure), "") or "no response"
        yield warning(
            "site pixel",
            f"X's script was not loaded: {why}",
            "X gets the page's conversions from the gateway only.",
            "Check the page's Content Security Policy and its consent platform, which may load "
            "X's script only after consent.",
        )
    else:
        yield passed("site pixel", "X's script runs")


def _consent(visit: SiteVisit) -> Iterator[CheckFinding]:
    found = " and ".join(visit.state.platforms) or "no consent platform"
    yield passed("site consent", f"the page has {found}")


def _conversion(visit: SiteVisit, test: SiteTest) -> Iterator[CheckFinding]:
    platforms = " and ".join(visit.state.platforms) or "no consent platform"
    if not visit.accepted:
        yield warning(
            "site consent",
            f"the script waits for consent; the page has {platforms}",
            "Before a visitor consents, the script sends and stores nothing.",
            "The page's consent platform denies: the test cannot answer its banner."
            if test.grants
            else "To test the page as with consent, add --grant-consent.",
        )
        return
    yield passed("site consent", f"the script may send; the page has {platforms}")
    beacons = visit.beacons()
    yield _beacon(beacons[-1] if beacons else None)
    if visit.state.pixel_runs:
        yield _ids(visit)


def _beacon(request: SiteRequest | None) -> CheckFinding:
    if request is None:
        return failed(
            "site beacon",
            "the script sent no message to the gateway within 15 s",
            "The gateway gets no conversions from this page.",
            "Look for errors in the browser's console.",
        )
    answer = _read(request.answer)
    if request.status in _ACCEPTED and not answer.rejected:
        return passed("site beacon", f"{request.place} answered {request.status}")
    if request.status in _ACCEPTED:
        errors = [error for conversion in answer.rejected for error in conversion.errors]
        codes = ", ".join(error.get("code", "") for error in errors)
        return failed(
            "site beacon",
            f"the gateway rejected the conversion: {codes}",
            "Other conversions of this page may fail the same way.",
            "Look up the code in “Error codes” in the documentation.",
        )
    return failed(
        "site beacon",
        f"{request.place} failed: {request.status or request.failure or 'no response'}",
        "The gateway gets no conversions from this page.",
        "Check that the proxy forwards /t, and that the page's policy allows it (connect-src).",
    )


def _read(text: str) -> _BeaconAnswer:
    try:
        return msgspec.json.decode(text or "{}", type=_BeaconAnswer)
    except msgspec.DecodeError:  # of a proxy
        return _BeaconAnswer()


def _ids(visit: SiteVisit) -> CheckFinding:
    hits = visit.hits()
    if any(_OK <= hit.status < _ERRORS for hit in hits):
        return passed("site ids", f"X's pixel and the gateway got {visit.conversion_id}")
    if hits:
        return warning(
            "site ids",
            f"X's pixel sent {visit.conversion_id}, but {hits[0].place} failed: "
            f"{hits[0].status or hits[0].failure or 'no response'}",
            "X gets the conversion from the gateway only.",
            "Check the page's policy: img-src and connect-src need X's hosts.",
        )
    return warning(
        "site ids",
        "X's pixel sent no event with the conversion's id",
        "X cannot recognize the copies of the pixel and of the gateway.",
        "Check that the event has X's id in the pixel's events, and that consent allows X's pixel.",
    )
