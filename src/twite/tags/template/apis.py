"""Every server-side API that a template may `require`, with Twite's support for it.

Source: developers.google.com/tag-platform/tag-manager/server-side/api. The reference page
`templates` has the same table, and a test compares the two.
"""

from enum import StrEnum
from typing import Final

import msgspec

_SET: Final = "requires `[google]` in the settings"


class ApiSupport(StrEnum):
    DONE = "done"
    DIFFERS = "differs"
    REFUSED = "refused"


class Api(msgspec.Struct, frozen=True, kw_only=True):
    """An API: the permission that it needs, and a note on its support."""

    permission: str | None = None
    state: ApiSupport = ApiSupport.DONE
    note: str = ""


_NONE: Final = Api()


def _needs(permission: str, note: str = "") -> Api:
    state = ApiSupport.DIFFERS if note else ApiSupport.DONE
    return Api(permission=permission, state=state, note=note)


def _differs(note: str) -> Api:
    return Api(state=ApiSupport.DIFFERS, note=note)


APIS: Final = {
    "BigQuery": _needs(
        "access_bigquery",
        f"{_SET}; Twite derives insertId from the delivery, so that BigQuery can drop a "
        "retried row",
    ),
    "Firestore": _needs(
        "access_firestore",
        f"{_SET}; Twite has no cache, and returns times, bytes and references as text",
    ),
    "JSON": _NONE,
    "Math": _NONE,
    "Object": _NONE,
    "Promise": _NONE,
    "addEventCallback": _needs(
        "read_event_metadata",
        "because tags run after the response, a client gets the tags that fired, each as "
        "`queued`, `held`, `suppressed` or `duplicate`; a tag gets only its own entry; "
        "the name of a tag is also its id",
    ),
    "addMessageListener": _needs("use_message"),
    "callLater": _NONE,
    "claimRequest": _NONE,
    "computeEffectiveTldPlusOne": _differs(
        "uses Twite's list of suffixes, including private suffixes"
    ),
    "createRegex": _differs(
        "accepts RE2 syntax on a backtracking engine, within the run's time limit; inline "
        "flags must be at the start"
    ),
    "decodeUri": _NONE,
    "decodeUriComponent": _NONE,
    "encodeUri": _NONE,
    "encodeUriComponent": _NONE,
    "extractEventsFromMpv1": Api(
        permission="read_request",
        state=ApiSupport.REFUSED,
        note="throws, because Google ended Universal Analytics",
    ),
    "extractEventsFromMpv2": _needs(
        "read_request", "a client gets all events of the hit, a tag gets only its own event"
    ),
    "fromBase64": _NONE,
    "generateRandom": _differs("uses the run's seed: a repeated run gets the same numbers"),
    "getAllEventData": _needs("read_event_data"),
    "getClientName": _needs("read_container_data"),
    "getContainerVersion": _needs("read_container_data"),
    "getCookieValues": _needs("get_cookies"),
    "getEventData": _needs("read_event_data"),
    "getGoogleAuth": _needs(
        "use_google_credentials", f"{_SET}; the token goes only to https://*.googleapis.com"
    ),
    "getGoogleScript": _needs("send_http", "`debug` has an effect only for the script `ANALYTICS`"),
    "getRemoteAddress": _needs(
        "read_request", "returns the client's address according to `server.trusted_proxies`"
    ),
    "getRequestBody": _needs("read_request"),
    "getRequestHeader": _needs("read_request"),
    "getRequestMethod": _NONE,
    "getRequestPath": _needs("read_request"),
    "getRequestQueryParameter": _needs("read_request"),
    "getRequestQueryParameters": _needs("read_request"),
    "getRequestQueryString": _needs("read_request"),
    "getTimestamp": _differs("the time does not advance during a step"),
    "getTimestampMillis": _differs("the time does not advance during a step"),
    "getType": _NONE,
    "hasMessageListener": _needs("use_message"),
    "hmacSha256": _needs("use_custom_private_keys", "uses the keys of templates.hmac_keys"),
    "isRequestMpv1": _NONE,
    "isRequestMpv2": _NONE,
    "logToConsole": _needs("logging", "writes objects as JSON"),
    "makeInteger": _differs(
        "truncates towards zero, because Google does not document how it rounds"
    ),
    "makeNumber": _NONE,
    "makeString": _NONE,
    "makeTableMap": _NONE,
    "parseUrl": _differs(
        "follows the WHATWG URL standard, but applies the text direction rules of UTS 46 "
        "only to letters"
    ),
    "queryPermission": _NONE,
    "returnResponse": _needs("return_response"),
    "runContainer": _needs(
        "run_container",
        "runs the event's tags from the queue; in a client, calls `onComplete` when the event "
        "is on disk",
    ),
    "sendEventToGoogleAnalytics": _needs(
        "send_http", "sends only GA4 hits, without `user_data`, lists and objects"
    ),
    "sendHttpGet": _needs("send_http"),
    "sendHttpRequest": _needs(
        "send_http", "returns a promise or calls a callback; normalizes the URL"
    ),
    "sendMessage": _needs("use_message"),
    "sendPixelFromBrowser": _needs(
        "send_pixel_from_browser",
        "returns true only in the first step of a tag, if the page reads the response as a stream",
    ),
    "setCookie": _needs("set_cookies", "ignores the case of option names"),
    "setPixelResponse": _needs("access_response"),
    "setResponseBody": _needs("access_response"),
    "setResponseHeader": _needs("access_response"),
    "setResponseStatus": _needs("access_response"),
    "sha256": _NONE,
    "sha256Sync": _NONE,
    "templateDataStorage": _needs(
        "access_template_storage", "stores values as JSON, without functions"
    ),
    "testRegex": _NONE,
    "toBase64": _NONE,
}
