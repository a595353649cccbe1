"""`getGoogleScript`: Google's scripts, and how long they may be cached.

Source: developers.google.com/tag-platform/tag-manager/server-side/api#getgooglescript [doc]; it
does not give the URLs of the debug versions of gtag.js and gtm.js: theirs are the usual ones.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from twite.domain.json_tree import Tree
from twite.gtm.google_requests.request import FAILED, GoogleRequest, GoogleResult, RequestNotSent

ANALYTICS: Final = "https://www.google-analytics.com/g/collect"
# URL by name; the sandbox has the same list.
PLACES: Final[Mapping[str, str]] = {
    "ANALYTICS": "https://www.google-analytics.com/analytics.js",
    "GTAG": "https://www.googletagmanager.com/gtag/js",
    "GTM": "https://www.googletagmanager.com/gtm.js",
}
_DEBUG: Final = "https://www.google-analytics.com/analytics_debug.js"
_OF_KEEPING: Final = ("cache-control", "expires", "last-modified")
_LONGEST: Final = 15_000


def script(name: Tree, options: Tree) -> GoogleRequest:
    """Return the request for a script. Raises RequestNotSent."""
    if not isinstance(name, str) or name not in PLACES:
        raise RequestNotSent(f"the scripts are {', '.join(PLACES)}")
    settings = options if isinstance(options, dict) else {}
    known_by, timeout = settings.get("id"), settings.get("timeout")
    url = _DEBUG if name == "ANALYTICS" and settings.get("debug") else PLACES[name]
    if name != "ANALYTICS" and isinstance(known_by, str) and known_by:
        url += "?" + urlencode({"id": known_by})
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool) and timeout > 0
    return GoogleRequest(
        url=url,
        method="GET",
        timeout=int(min(timeout, _LONGEST)) if is_number else None,  # type: ignore[type-var,arg-type]  # a number
    )


def script_told(status: int, headers: Mapping[str, str], body: bytes) -> GoogleResult:
    """Return the script, and its caching headers."""
    if not 200 <= status < 300:
        return GoogleResult(reason=FAILED)
    kept: dict[str, Tree] = {name: headers[name] for name in _OF_KEEPING if name in headers}
    return GoogleResult(value={"script": body.decode("utf-8", "replace"), "metadata": kept})


def analytics_told(status: int, headers: Mapping[str, str]) -> GoogleResult:
    """Return the redirect's target, if any."""
    if not 200 <= status < 400:
        return GoogleResult(reason=FAILED)
    return GoogleResult(value={"location": headers["location"]} if "location" in headers else {})
