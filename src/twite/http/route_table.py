"""The route table.

Each row has the properties of one path. Dispatch, methods and 405, authentication, body limits,
metric labels, the OpenAPI document, the paths that client templates may claim and the direct
handling of usual requests are derived from the table. All rows have the same time limit.
"""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from twite.domain.destination import Destination, Source
from twite.domain.people.users import KeyScope
from twite.domain.submission import Endpoint
from twite.features import contributed
from twite.gateway.operations.control import PATH as CONTROL_PATH
from twite.gateway.ports.events import ProblemPlace
from twite.http.origins import PageVisit
from twite.http.responses import NO_ROUTE, HttpRefusal, HttpResponse
from twite.http.route import (
    FULL_BODY,
    SMALL_BODY,
    CallerT,
    HttpRequest,
    Route,
    RouteAuthentication,
    anyone,
    reads,
    source_key,
)
from twite.http.routes import (
    beacon,
    control,
    listing,
    native,
    reports,
    results,
    root,
    segment,
    tags,
    webhooks,
    x_api,
)
from twite.x import spec

_READ: Final = ("GET", "HEAD")


async def console_is_absent(_request: HttpRequest, _caller: None) -> HttpResponse:
    """Raises HttpRefusal (404), because the console is not running."""
    raise HttpRefusal(NO_ROUTE)


def _tag_route(
    path: str,
    endpoint: Endpoint,
    answer: Callable[[HttpRequest, Source | PageVisit], Awaitable[HttpResponse]],
    **operations: str,
) -> Route[Source | PageVisit]:
    """Return the row of a tag path; it accepts the methods that `operations` name."""
    return Route(
        path=path,
        methods=tuple(method.upper() for method in operations),
        label=path,
        authenticate=tags.page_or_key,
        answer=answer,
        body=FULL_BODY,
        endpoint=endpoint,
        preflight=tags.preflight,
        operations=operations,
        claimable=True,
    )


def _read_route(
    path: str,
    answer: Callable[[HttpRequest, CallerT], Awaitable[HttpResponse]],
    operation: str,
    authenticate: RouteAuthentication[CallerT],
    *,
    label: str | None = None,
    query_parameters: tuple[str, ...] | None = None,
) -> Route[CallerT]:
    return Route(
        path=path,
        methods=_READ,
        label=label or path,
        authenticate=authenticate,
        answer=answer,
        operations={"get": operation},
        query_parameters=query_parameters,
    )


def _rest_of_x(prefix: str) -> Route[None]:
    """Return the row that answers all other paths under a prefix with 404 in X's format."""
    return Route(
        path=f"{prefix}{{rest:path}}",
        methods=(),
        label=ProblemPlace.X_ROUTE,
        authenticate=anyone,
        answer=x_api.no_route,
        refused=x_api.in_x_shape,
    )


def _x_route(version: str) -> Route[Destination]:
    return Route(
        path=spec.CONVERSIONS_PATH.format(version=version, pixel_id="{pixel_id}"),
        methods=("POST",),
        label=ProblemPlace.X_ROUTE,
        authenticate=x_api.pixel_credentials,
        answer=x_api.answer,
        body=FULL_BODY,
        takes_json=True,
        endpoint=Endpoint.X_API,
        refused=x_api.in_x_shape,
        operations={"post": f"conversions_v{version}"},
    )


def _segment_routes(prefix: str) -> Iterator[Route[Source | PageVisit]]:
    """Yield the rows of Segment's API, with the short paths of analytics.js."""
    for call, letter in segment.CALLS.items():
        answer = segment.taking(call)
        yield _segment_route(f"{prefix}/{call}", f"/v1/{call}", answer)
        yield _segment_route(f"{prefix}/{letter}", f"/v1/{call}", answer)
    yield Route(
        path=f"{prefix}/m",
        methods=("POST", "OPTIONS"),
        label="/v1/m",
        authenticate=segment.page_or_server,
        answer=segment.discard,
        refused=segment.refused,
        preflight=segment.preflight,
    )
    yield Route(
        path=f"{prefix}/projects/{{source_key}}/settings",
        methods=_READ,
        label="/v1/projects",
        authenticate=segment.key_in_path,
        answer=segment.project,
        refused=segment.refused,
        operations={"get": "segment_project"} if prefix == "/v1" else {},
    )


def _segment_route(
    path: str,
    label: str,
    answer: Callable[[HttpRequest, Source | PageVisit], Awaitable[HttpResponse]],
) -> Route[Source | PageVisit]:
    call = path.rpartition("/")[2]
    return Route(
        path=path,
        methods=("POST", "OPTIONS"),
        label=label,
        authenticate=segment.page_or_server,
        answer=answer,
        # Segment allows 500 KB. RudderStack allows 4,000 KB, and its SDK drops a refused batch.
        body=FULL_BODY,
        endpoint=Endpoint.SEGMENT,
        refused=segment.refused,
        preflight=segment.preflight,
        operations={"post": f"segment_{call}", "options": f"segment_{call}_preflight"}
        if path == label
        else {},
    )


ROUTES: Final[tuple[Route[Any], ...]] = (
    Route(
        path="/v1/conversions",
        methods=("POST",),
        label="/v1/conversions",
        authenticate=source_key,
        answer=native.answer,
        body=FULL_BODY,
        takes_json=True,
        endpoint=Endpoint.NATIVE,
        operations={"post": "submit"},
    ),
    _read_route(
        "/v1/conversions/list",
        listing.listed,
        "list",
        reads(KeyScope.HISTORY),
        query_parameters=(
            *("state", "pixel", "source", "event", "reason", "id", "digest", "test"),
            *("since", "until", "limit", "before"),
        ),
    ),
    _read_route(
        "/v1/conversions/{pixel}/{conversion_id:path}",
        reports.history,
        "history",
        reads(KeyScope.HISTORY),
        label="/v1/conversions/…",
        query_parameters=("event",),
    ),
    _read_route(
        "/v1/accounting",
        reports.balance,
        "accounting",
        reads(KeyScope.ACCOUNTING),
        query_parameters=(),
    ),
    Route(
        path="/v1/consent",
        methods=("POST",),
        label="/v1/consent",
        authenticate=source_key,
        answer=native.record_choice,
        body=SMALL_BODY,
        takes_json=True,
        operations={"post": "consent"},
    ),
    _read_route("/v1/source", native.describe_source, "source", source_key, query_parameters=()),
    *map(_x_route, spec.VERSIONS),
    *(_rest_of_x(f"/{version}/") for version in spec.VERSIONS),
    Route(
        path="/t",
        methods=("GET", "POST", "OPTIONS"),
        label="/t",
        authenticate=beacon.page,
        answer=beacon.answer,
        body=SMALL_BODY,
        endpoint=Endpoint.BEACON,
        refused=beacon.with_verdict,
        preflight=beacon.preflight,
        operations={"post": "beacon", "get": "image", "options": "preflight"},
    ),
    _read_route("/twite.js", beacon.script, "script", anyone),
    _read_route("/twite.{hash}.js", beacon.script, "script_alone", anyone, label="/twite.js"),
    Route(
        path="/twite.{rest:path}",
        methods=_READ,
        label="/twite.js",
        authenticate=anyone,
        answer=beacon.script,
    ),
    _read_route(
        "/v1/deduplication",
        reports.dedup_report,
        "deduplication",
        reads(KeyScope.DEDUPLICATION),
        query_parameters=("days",),
    ),
    _read_route(
        "/v1/results",
        results.results,
        "results",
        reads(KeyScope.RESULTS),
        query_parameters=("days", "account", "format"),
    ),
    _read_route(
        "/v1/rejections",
        reports.rejections,
        "rejections",
        reads(KeyScope.HISTORY),
        query_parameters=("since", "code", "conversion_id"),
    ),
    _tag_route(
        "/g/collect",
        Endpoint.GA4,
        tags.taking(tags.GA4),
        get="ga4_get",
        post="ga4_post",
        options="ga4_preflight",
    ),
    _tag_route(
        "/mp/collect",
        Endpoint.MEASUREMENT_PROTOCOL,
        tags.taking(tags.MEASUREMENT_PROTOCOL),
        post="measurement_protocol",
        options="mp_preflight",
    ),
    _tag_route(
        "/debug/mp/collect",
        Endpoint.MEASUREMENT_PROTOCOL,
        tags.debug,
        post="measurement_protocol_debug",
        options="debug_preflight",
    ),
    _tag_route(
        "/data",
        Endpoint.DATA_TAG,
        tags.taking(tags.DATA_TAG),
        get="data_tag_get",
        post="data_tag_post",
        options="data_preflight",
    ),
    Route(
        path="/v1/sgtm",
        methods=("POST",),
        label="/v1/sgtm",
        authenticate=source_key,
        answer=native.taking(Endpoint.SGTM, native.read_sgtm),
        body=FULL_BODY,
        takes_json=True,
        endpoint=Endpoint.SGTM,
        operations={"post": "sgtm"},
    ),
    Route(
        path="/stape-api/{source_key:path}/v1/twitter/auth-proxy",
        methods=("POST",),
        label=ProblemPlace.X_ROUTE,
        authenticate=x_api.key_in_path,
        answer=x_api.answer_stape,
        body=FULL_BODY,
        endpoint=Endpoint.STAPE,
        refused=x_api.in_x_shape,
        operations={"post": "stape_auth_proxy"},
    ),
    _rest_of_x("/stape-api/"),
    *_segment_routes("/v1"),
    *_segment_routes("/segment/v1"),
    _segment_route("/beacon/v1/batch", "/v1/batch", segment.taking("batch")),
    Route(
        path="/sourceConfig/",
        methods=("GET", "OPTIONS"),
        label="/sourceConfig/",
        authenticate=segment.page_or_server,
        answer=segment.source_config,
        refused=segment.refused,
        preflight=segment.preflight,
    ),
    Route(
        path=webhooks.PATH,
        methods=("POST",),
        label=webhooks.LABEL,
        authenticate=webhooks.signature,
        answer=webhooks.answer,
        body=FULL_BODY,
        endpoint=Endpoint.WEBHOOK,
        refused=webhooks.in_webhook_shape,
        operations={"post": "webhook"},
    ),
    Route(
        path=CONTROL_PATH,
        methods=("POST",),
        label=CONTROL_PATH,
        authenticate=control.control_token,
        answer=control.answer,
        body=FULL_BODY,
        operations={"post": "control"},
    ),
    *contributed("routes", Route),
    Route(
        path="/",
        methods=_READ,
        label="/",
        authenticate=anyone,
        answer=root.answer,
        operations={"get": "root"},
        claimable=True,
    ),
    _read_route("/healthz", control.healthz, "healthz", anyone),
    _read_route("/readyz", control.readyz, "readyz", anyone),
    _read_route(
        "/metrics",
        control.metrics,
        "metrics",
        control.this_machine_or_metrics_key,
    ),
    _read_route("/v1/openapi.json", control.openapi, "openapi", anyone, query_parameters=()),
    *(
        Route(
            path=path,
            methods=(),
            label=ProblemPlace.CONSOLE,
            authenticate=anyone,
            answer=console_is_absent,
        )
        for path in ("/console", "/console/{rest:path}")
    ),
)
