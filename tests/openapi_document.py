"""Render the OpenAPI document: `openapi.yaml`, with the response schemas of the routes' answers.

`make generate` writes `openapi.json`, which the gateway serves.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from inspect import cleandoc
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
import yaml

from twite import __version__
from twite.domain.fault import CODES, ROW_CODES
from twite.formats.native.answers import ErrorBody, NativeReceipt, SourceInfo
from twite.gateway.ingest.consent_choice import ConsentChoice
from twite.gateway.operations.control import ControlCommand, ControlResult
from twite.gateway.operations.dedup_report import PathCountsBy
from twite.gateway.results.read import ResultsReport
from twite.http.route_table import ROUTES
from twite.http.routes.beacon import SomeRejected
from twite.http.routes.listing import ConversionList
from twite.http.routes.native import ChoiceNoted
from twite.http.routes.reports import BalanceBy, HistoryView, RejectionList
from twite.http.routes.segment import SegmentError, SegmentSuccess
from twite.http.routes.x_api import XErrors, XSuccess

Json = dict[str, Any]

FOLDER: Final = Path(__file__).parents[1] / "src/twite/http/openapi"

_COMPONENT: Final = "#/components/schemas/{name}"
_RETRIES: Final = frozenset({"429", "503"})
# The bodies of requests and responses. A schema, also of a part of these, has the name of its
# class.
_BODIES: Final = (
    BalanceBy,
    ChoiceNoted,
    ConsentChoice,
    ControlCommand,
    ControlResult,
    ErrorBody,
    HistoryView,
    NativeReceipt,
    PathCountsBy,
    RejectionList,
    ResultsReport,
    ConversionList,
    SegmentError,
    SegmentSuccess,
    SomeRejected,
    SourceInfo,
    XErrors,
    XSuccess,
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
    codes["schema"] = codes["schema"] | {"enum": sorted(CODES | ROW_CODES)}
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
        elif status == "segment_errors":
            reasons = {str(each): _written()["errors"][str(each)] for each in response}
            yield from _errors(reasons, "SegmentError")
        elif status == "x_errors":
            yield from _errors(response, "XErrors", {"x-current-api-version": _header("string")})
        else:
            yield status, _with_content(response)


def _errors(
    reasons: Mapping[str, str],
    name: str = "ErrorBody",
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
    _, schemas = msgspec.json.schema_components(_BODIES, ref_template=_COMPONENT)
    for schema in schemas.values():
        if "description" in schema:
            # As Python 3.13 and later do when they compile.
            schema["description"] = cleandoc(schema["description"])
    # Null after the body has been deleted.
    schemas["HistoryView"]["properties"]["sent"]["type"] = ["object", "null"]
    return {**_written()["bodies"], **schemas}


if __name__ == "__main__":
    (FOLDER / "openapi.json").write_bytes(rendered())
