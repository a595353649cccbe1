"""Render the OpenAPI document: `openapi.yaml`, with the response schemas of the routes' answers.

`make generate` writes `openapi.json`, which the gateway serves.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import yaml

from twite import __version__
from twite.domain.delivery import State
from twite.domain.fault import CODES, MaskedFault, ReportedFault
from twite.domain.people.users import AuditEvent, Result
from twite.formats.native.answers import (
    ErrorBody,
    ErrorDetail,
    IdentifierWarning,
    NativeReceipt,
    RejectedItem,
    Suppressed,
)
from twite.gateway.ingest.consent_choice import ConsentChoice
from twite.gateway.operations.control import (
    ControlCommand,
    ControlResult,
    PreviewState,
    ReloadReport,
)
from twite.gateway.operations.dedup_report import EventPathCounts, PairOf, PathCountsBy
from twite.gateway.ports.events import ReloadResult
from twite.gateway.ports.outbox import EditedBody
from twite.gateway.ports.privacy import ErasedText, EraseStore, SearchText
from twite.gateway.preview.trace import (
    PreviewedRequest,
    PreviewEvent,
    PreviewLine,
    PreviewPair,
    PreviewRun,
)
from twite.http.route_table import ROUTES
from twite.http.routes.beacon import SomeRejected
from twite.http.routes.native import ChoiceNoted
from twite.http.routes.reports import (
    AttemptView,
    BalanceBy,
    BalanceOf,
    HistoryView,
    IgnoredBy,
    RejectionList,
    RejectionView,
    TagView,
)
from twite.http.routes.x_api import XError, XErrors, XParams, XProcessed, XRequestEcho, XSuccess

Json = dict[str, Any]

FOLDER: Final = Path(__file__).parents[1] / "src/twite/http/openapi"

_COMPONENT: Final = "#/components/schemas/{name}"
_RETRIES: Final = frozenset({"429", "503"})
# The published name of each response schema. Generated clients have types with these names, so they
# stay when a class is renamed.
_NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        NativeReceipt: "Receipted",
        RejectedItem: "Rejected",
        ReportedFault: "Fault",
        IdentifierWarning: "Remark",
        Suppressed: "Suppressed",
        SomeRejected: "SomeRejected",
        HistoryView: "ToldLife",
        State: "State",
        AttemptView: "TriedOnce",
        TagView: "ToldTag",
        BalanceBy: "BalanceBy",
        BalanceOf: "BalanceOf",
        IgnoredBy: "IgnoredBy",
        PathCountsBy: "WaysBy",
        EventPathCounts: "WaysOf",
        PairOf: "PairOf",
        XSuccess: "XSuccess",
        XRequestEcho: "XRequestEcho",
        XParams: "XParams",
        XProcessed: "XProcessed",
        XErrors: "XErrors",
        XError: "XError",
        RejectionList: "Rejections",
        RejectionView: "ToldRejection",
        MaskedFault: "MaskedFault",
        ControlCommand: "Order",
        EditedBody: "EditedBody",
        AuditEvent: "Deed",
        EraseStore: "Erasing",
        ErasedText: "Cut",
        SearchText: "Text",
        ControlResult: "Done",
        PreviewState: "PreviewState",
        ReloadReport: "ReloadReport",
        ReloadResult: "ReloadResult",
        PreviewedRequest: "PreviewedRequest",
        PreviewEvent: "PreviewEvent",
        PreviewRun: "PreviewRun",
        PreviewLine: "PreviewLine",
        PreviewPair: "PreviewPair",
        Result: "AccountResult",
        ChoiceNoted: "Noted",
        ConsentChoice: "Choice",
        ErrorBody: "Errors",
        ErrorDetail: "Wrong",
    }
)


def rendered() -> bytes:
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def document() -> Json:
    """Return the document: every public method of every route."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Twite",
            "version": __version__,
            "summary": "A conversion gateway for X.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            route.path.replace(":path}", "}"): {
                method: _operation(id_) for method, id_ in route.operations.items()
            }
            for route in ROUTES
            if route.operations
        },
        "components": {"schemas": _schemas(), "securitySchemes": _written()["security"]},
    }


@cache
def _written() -> Json:
    with (FOLDER / "openapi.yaml").open("rb") as file:
        written: Json = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    codes = written["operations"]["rejections"]["parameters"][1]
    codes["schema"] = codes["schema"] | {"enum": sorted(CODES)}
    return written


def _operation(id_: str) -> Json:
    written: Json = _written()["operations"][id_]
    operation = {"operationId": id_, **written, "responses": dict(_responses(written["responses"]))}
    if "requestBody" in written:
        operation["requestBody"] = _with_content(written["requestBody"])
    return operation


def _responses(written: Json) -> Iterator[tuple[str, Json]]:
    for status, response in written.items():
        if status == "errors":
            yield from _errors({str(each): _written()["errors"][str(each)] for each in response})
        elif status == "x_errors":
            yield from _errors(response, "XErrors", {"x-current-api-version": _header("string")})
        else:
            yield status, _with_content(response)


def _errors(
    reasons: Mapping[str, str],
    name: str = "Errors",
    headers: Mapping[str, Json] = MappingProxyType({}),
) -> Iterable[tuple[str, Json]]:
    for status, reason in reasons.items():
        own = dict(headers)
        if status in _RETRIES:
            own["Retry-After"] = {**_header("integer"), "description": "Seconds."}
        response = _with_content({"description": reason, "json": name})
        yield status, response | {"headers": own} if own else response


def _header(kind: str) -> Json:
    return {"schema": {"type": kind}}


def _with_content(written: Json) -> Json:
    """Return a body or a response with its abbreviated `json` entry expanded."""
    if "json" not in written:
        return written
    rest = {name: value for name, value in written.items() if name not in {"json", "example"}}
    content: Json = {"schema": {"$ref": _COMPONENT.format(name=written["json"])}}
    if "example" in written:
        content["example"] = written["example"]
    return rest | {"content": {"application/json": content}}


def _schemas() -> Json:
    schemas = _component_schemas()
    # Null after the body has been deleted.
    schemas["ToldLife"]["properties"]["sent"]["type"] = ["object", "null"]
    return {**_written()["bodies"], **schemas}


def _component_schemas() -> Json:
    _, found = msgspec.json.schema_components(_NAMES, ref_template=_COMPONENT)
    published = {shape.__name__: name for shape, name in _NAMES.items()}
    renamed = re.sub(
        _COMPONENT.format(name=r"(\w+)"),
        lambda match: _COMPONENT.format(name=published[match[1]]),
        msgspec.json.encode(found).decode(),
    )
    schemas = msgspec.json.decode(renamed, type=Json)
    return {
        published[class_name]: schema | {"title": published[class_name]}
        for class_name, schema in schemas.items()
    }


if __name__ == "__main__":
    (FOLDER / "openapi.json").write_bytes(rendered())
