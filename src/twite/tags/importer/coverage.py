"""The part types of an export, and how each is supported.

Sources: facts on container exports (a real export, and two generators whose output Google
accepted), and the reference of the Tag Manager API. A type that is not in these tables is reported
as unknown.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from twite.tags.container.parts import Operator, VariableSource

_IN_GOOGLES: Final = "the export does not contain its code: keep it in Google's container"
_DRAWN: Final = "the number is the same for all tags and attempts of an event"
_OF_WEB: Final = "supported only in web containers"
# The id of the trigger that every container has and no export lists.
ALL_EVENTS_ID: Final = "2147479574"
OPERATORS: Final[Mapping[str, Operator | None]] = {
    "EQUALS": Operator.EQUALS,
    "CONTAINS": Operator.CONTAINS,
    "STARTS_WITH": Operator.STARTS_WITH,
    "ENDS_WITH": Operator.ENDS_WITH,
    "MATCH_REGEX": Operator.MATCHES,
    "GREATER": Operator.GREATER,
    "GREATER_OR_EQUALS": Operator.GREATER_OR_EQUAL,
    "LESS": Operator.LESS,
    "LESS_OR_EQUALS": Operator.LESS_OR_EQUAL,
    # Only in web containers, which have a page.
    "CSS_SELECTOR": None,
    "URL_MATCHES": None,
}


class Support(StrEnum):
    RUNS = "runs"  # as in Google's container
    DIFFERS = "differs"  # runs; the note describes the differences
    RESTS = "rests"  # paused in Google's container, and paused here
    PAUSED = "paused"  # imported, and paused until a user decides
    LEFT_OUT = "left out"  # cannot run here; the note says what to use instead


class KnownPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part type: its name in Google's UI, its support, and the reason."""

    shown: str
    fit: Support = Support.RUNS
    note: str = ""
    source: VariableSource | None = None


def _runs(shown: str, source: VariableSource | None = None) -> KnownPart:
    return KnownPart(shown=shown, source=source)


def _left_out(shown: str, note: str) -> KnownPart:
    return KnownPart(shown=shown, fit=Support.LEFT_OUT, note=note)


def _differs(shown: str, note: str, source: VariableSource | None = None) -> KnownPart:
    return KnownPart(shown=shown, fit=Support.DIFFERS, note=note, source=source)


TAGS: Final[Mapping[str, KnownPart]] = {
    "cvt_": _runs("tag of a template"),
    "sgtmgaaw": _left_out(
        "Google Analytics 4",
        f"{_IN_GOOGLES}, or let the page send its GA4 hits to both Google and Twite",
    ),
    "sgtmadsct": _left_out(
        "Google Ads conversion", f"{_IN_GOOGLES}, or use a template for Google's Ads API"
    ),
    "sgtmadsremarket": _left_out("Google Ads remarketing", _IN_GOOGLES),
    "sgtmawud": _left_out("Google Ads user-provided data", _IN_GOOGLES),
    "sgtmadscl": _left_out(
        "Conversion linker", f"{_IN_GOOGLES}; for X's click id, /twite.js sets the cookie"
    ),
    "sgtmflc": _left_out("Floodlight counter", _IN_GOOGLES),
    "sgtmfls": _left_out("Floodlight sales", _IN_GOOGLES),
    "html": _left_out("Custom HTML", _OF_WEB),
    "img": _left_out("Custom image", _OF_WEB),
    "gaawe": _left_out("Google Analytics 4 event", _OF_WEB),
    "googtag": _left_out("Google tag", _OF_WEB),
    "awct": _left_out("Google Ads conversion (web)", _OF_WEB),
    "gclidw": _left_out("Conversion linker (web)", _OF_WEB),
}
TRIGGERS: Final[Mapping[str, KnownPart]] = {
    "ALWAYS": _runs("Custom, without a filter on the event's name"),
    "CUSTOM_EVENT": _runs("Custom"),
    "SERVER_PAGEVIEW": _differs("Page view", "it fires if event_name is page_view"),
    "TRIGGER_GROUP": _differs("Trigger group", "it fires if all its triggers match the same event"),
    **{
        word: _left_out(word.replace("_", " ").capitalize(), _OF_WEB)
        for word in (
            "CLICK",
            "CONSENT_INIT",
            "DOM_READY",
            "ELEMENT_VISIBILITY",
            "FORM_SUBMISSION",
            "HISTORY_CHANGE",
            "INIT",
            "JS_ERROR",
            "LINK_CLICK",
            "PAGEVIEW",
            "SCROLL_DEPTH",
            "TIMER",
            "WINDOW_LOADED",
            "YOU_TUBE_VIDEO",
        )
    },
}
VARIABLES: Final[Mapping[str, KnownPart]] = {
    "cvt_": _runs("variable of a template", VariableSource.TEMPLATE),
    "c": _runs("Constant", VariableSource.CONSTANT),
    "ed": _runs("Event data", VariableSource.EVENT_DATA),
    "rh": _runs("Request header", VariableSource.REQUEST_HEADER),
    "k": _runs("Cookie value", VariableSource.COOKIE),
    # [seen google/gps-phoebe, demo/gtm/phoebe_demo_server_container.json]
    "qp": _runs("Query parameter", VariableSource.QUERY_PARAMETER),
    "smm": _runs("Lookup table", VariableSource.LOOKUP),
    "remm": _runs("Regex table", VariableSource.REGEX_LOOKUP),
    "vr": _differs(
        "Visitor region",
        "the value comes from the event's event_location, and is undefined without it",
        VariableSource.VISITOR_REGION,
    ),
    "fs": _differs(
        "Firestore lookup",
        "the template 'Firestore Lookup' of Twite reads the document, each time without a cache",
        VariableSource.TEMPLATE,
    ),
    "ctv": _runs("Container version", VariableSource.CONTAINER_VERSION),
    "cid": _runs("Container ID", VariableSource.CONTAINER_ID),
    "dbg": _differs("Debug mode", "always false in Twite", VariableSource.DEBUG_MODE),
    "r": _differs("Random number", _DRAWN, VariableSource.RANDOM),
    "uv": _runs("Undefined value", VariableSource.CONSTANT),
    "jsm": _left_out("Custom JavaScript", _OF_WEB),
    "v": _left_out("Data layer variable", _OF_WEB),
    "u": _left_out("URL", _OF_WEB),
    "d": _left_out("DOM element", _OF_WEB),
    "j": _left_out("JavaScript variable", _OF_WEB),
    "f": _left_out("HTTP referrer", _OF_WEB),
    "aev": _left_out("Auto-event variable", _OF_WEB),
}
BUILT_INS: Final[Mapping[str, KnownPart]] = {
    "EVENT_NAME": _runs("Event Name", VariableSource.EVENT_NAME),
    "CLIENT_NAME": _runs("Client Name", VariableSource.CLIENT_NAME),
    "REQUEST_PATH": _runs("Request Path", VariableSource.REQUEST_PATH),
    "REQUEST_METHOD": _runs("Request Method", VariableSource.REQUEST_METHOD),
    "QUERY_STRING": _runs("Query String", VariableSource.QUERY_STRING),
    "SERVER_PAGE_LOCATION_URL": _runs("Page URL", VariableSource.PAGE_URL),
    "SERVER_PAGE_LOCATION_PATH": _runs("Page Path", VariableSource.PAGE_PATH),
    "SERVER_PAGE_LOCATION_HOSTNAME": _runs("Page Hostname", VariableSource.PAGE_HOSTNAME),
    "VISITOR_REGION": _differs(
        "Visitor Region",
        "the value comes from the event's event_location, and is undefined without it",
        VariableSource.VISITOR_REGION,
    ),
    "ANALYTICS_CLIENT_ID": _runs("Analytics Client ID", VariableSource.CLIENT_ID),
    "ANALYTICS_SESSION_ID": _runs("Analytics Session ID", VariableSource.SESSION_ID),
    "ANALYTICS_SESSION_NUMBER": _runs("Analytics Session Number", VariableSource.SESSION_NUMBER),
    "CONTAINER_ID": _runs("Container ID", VariableSource.CONTAINER_ID),
    "CONTAINER_VERSION": _runs("Container Version", VariableSource.CONTAINER_VERSION),
    "DEBUG_MODE": _differs("Debug Mode", "always false in Twite", VariableSource.DEBUG_MODE),
    "ENVIRONMENT_NAME": _left_out(
        "Environment Name", "a gateway has no environments: use a constant"
    ),
    "RANDOM_NUMBER": _differs("Random Number", _DRAWN, VariableSource.RANDOM),
}
CLIENTS: Final[Mapping[str, KnownPart]] = {
    "cvt_": _runs("client of a template"),
    "gaaw_client": _differs(
        "GA4",
        "Twite reads GA4 hits itself, at /g/collect; the setting `cookie.fpid` of the source "
        "sets the cookie FPID",
    ),
    "mpaw_client": _differs(
        "Measurement Protocol (GA4)", "Twite reads these requests itself, at /mp/collect"
    ),
    "gtm_client": _left_out(
        "Google Tag Manager: Web Container",
        "serve gtm.js from Google, or through your own proxy; Twite serves /twite.js",
    ),
    "uaw_client": _left_out("Universal Analytics", "Google ended Universal Analytics"),
    "adsct_client": _left_out("Google Ads", _IN_GOOGLES),
}
TRANSFORMATIONS: Final[Mapping[str, KnownPart]] = {
    "tf_exclude_params": _runs("Exclude parameters"),
    "tf_allow_params": _runs("Allow parameters"),
    "tf_augment_event": _runs("Augment event"),
}


def known(table: Mapping[str, KnownPart], word: str) -> KnownPart | None:
    return table.get("cvt_" if word.startswith("cvt_") else word)
