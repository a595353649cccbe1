"""Every row of the route table, on a real socket."""

import asyncio
import re

import msgspec
import pytest
from http_stage import Stage
from pages import a_shop

from builders import a_destination
from fakes import MovingClock, SeededRandomness
from memory_store.store import MemoryStore
from openapi_document import document
from raw_http import parse_response, request
from shopify_orders import shopify
from twite.domain.destination import Source
from twite.domain.secret import Secret
from twite.domain.submission import Endpoint
from twite.features import contributed
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.stape_proxy import StapeProxy
from twite.gateway.ports.events import ProblemSeen, TurnedAway
from twite.gateway.ports.listing import SummaryPage
from twite.http import HttpLimits
from twite.http.responses import error
from twite.http.route import (
    NO_BODY,
    SMALL_BODY,
    HttpRequest,
    Route,
    RouteAuthentication,
    anyone,
)
from twite.http.route_table import ROUTES

KEY = "a-source-key"
PARAMETERS = {
    "pixel": "o8z6j",
    "pixel_id": "o8z6j",
    "conversion_id": "order-1001",
    "source_key": KEY,
    "rest": "elsewhere",
    "name": "shop",
}
# Rows without documentation: the rest of a prefix, and the console's pages.
UNPUBLISHED = {
    "/11/{rest:path}",
    "/12/{rest:path}",
    "/twite.{rest:path}",
    "/stape-api/{rest:path}",
    "/console",
    "/console/{rest:path}",
}
# Other paths of Segment's API for the same calls, and the first requests of SDKs for browsers.
UNLISTED = {
    route.path
    for route in ROUTES
    if route.path.startswith("/segment/")
    or re.fullmatch("/v1/.|/beacon/.*|/sourceConfig/", route.path)
}
OF_FEATURES = {route.path for route in contributed("routes", Route)}
EVERY = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
WITH_BODY = [route for route in ROUTES if route.body > NO_BODY]
AUTHENTICATED = [route for route in ROUTES if route.authenticate is not anyone]


def path_of(route: Route, **other: str) -> str:
    known = PARAMETERS | other
    path = re.sub(r"\{(\w+)(?::path)?\}", lambda match: known.get(match[1], match[1]), route.path)
    return f"{path}?s=shop" if path == "/twite.js" else path


class StoreWithEmptyReports(MemoryStore):
    """A store whose reports are empty."""

    async def page(self, query):
        del query
        return SummaryPage(summaries=())

    async def answer(self, query):
        del query
        return []


@pytest.fixture
async def gateway(staged) -> Stage:
    return await gateway_of(staged)


async def gateway_of(staged, **said) -> Stage:
    store = StoreWithEmptyReports()
    a_webhook = msgspec.structs.replace(shopify(), secrets=(Secret("a-webhook-secret"),))
    accept = Accept(
        intake=store,
        clock=MovingClock(),
        randomness=SeededRandomness(),
        destinations={"o8z6j": a_destination()},
        salt=b"salt",
        wake=lambda _pixel: None,
    )
    proxy = StapeProxy(
        accept=accept, clock=MovingClock(), salt=b"salt", destinations={"o8z6j": a_destination()}
    )
    return await staged(
        accept=accept,
        records=store,
        moves=store,
        sources=[a_shop()],
        webhooks=(a_webhook,),
        proxy=proxy,
        metrics_key=Secret("metrics-key"),
        **said,
    )


@EVERY
async def test_every_route_answers_a_valid_request(gateway, route):
    method = route.methods[0] if route.methods else "GET"

    answer = await gateway.ask(
        method,
        path_of(route),
        b"{}" * (method == "POST"),
        key=None,
        headers=route.authenticate.sample,
    )

    errors = answer.json().get("errors", []) if answer.status > 399 else []
    codes = [fault["code"] for fault in errors]
    if route.path in UNPUBLISHED | OF_FEATURES | {"/twite.{hash}.js"}:
        assert answer.status == 404
    elif "conversion_id" in route.path:
        assert (answer.status, codes) == (404, ["conversion_unknown"])
    else:
        assert answer.status in {200, 202, 204, 304, 400, 422}, codes


@EVERY
async def test_wrong_method_is_405_with_the_allowed_methods(gateway, route):
    answer = await gateway.ask("PATCH", path_of(route), key=None, headers=route.authenticate.sample)

    if route.methods:
        assert (answer.status, answer.headers["allow"]) == (405, ", ".join(route.methods))
    else:
        assert answer.status == 404


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: route.path)
async def test_body_above_the_limit_is_refused_on_every_route(staged, route):
    limits = HttpLimits(body=100_000, page_body=1_000)
    stage = await gateway_of(staged, limits=limits)
    most = 1_000 if "Origin" in dict(route.authenticate.sample) else min(route.body, 100_000)

    answers = [
        await stage.ask(
            "POST", path_of(route), b" " * size, key=None, headers=route.authenticate.sample
        )
        for size in (most, most + 1)
    ]

    assert [answer.status == 413 for answer in answers] == [False, True]


async def test_slow_body_is_refused_on_every_route(staged):
    stage = await gateway_of(staged, limits=HttpLimits(body_seconds=0.2, sweep_seconds=0.05))

    async def half_a_body(route: Route) -> int:
        lines = {**route.authenticate.sample} | {"Host": "t.shop.example", "Content-Length": "9"}
        lines |= {"Content-Type": "application/json"}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        said = await stage.say(f"POST {path_of(route)} HTTP/1.1\r\n{head}\r\n{{".encode())
        return parse_response(said).status

    statuses = await asyncio.gather(*map(half_a_body, WITH_BODY))

    assert set(statuses) == {408}


@pytest.mark.parametrize("route", AUTHENTICATED, ids=lambda route: route.path)
async def test_route_with_authentication_refuses_requests_without_credentials(gateway, route):
    method = route.methods[0]
    path = path_of(route, source_key="no-key")

    answer = await gateway.ask(method, path, b"{}" * (method == "POST"), key=None)

    assert answer.status == route.authenticate.refused
    assert await gateway.records.balance() == []


def test_routes_without_authentication_are_listed():
    assert {route.path for route in ROUTES} - {route.path for route in AUTHENTICATED} == {
        *UNPUBLISHED,
        "/",
        "/twite.js",
        "/twite.{hash}.js",
        "/healthz",
        "/readyz",
        "/v1/openapi.json",
    }


def test_openapi_describes_exactly_the_public_routes_and_methods():
    published = {
        route.path.replace(":path}", "}"): {method.lower() for method in route.methods} - {"head"}
        for route in ROUTES
        if route.path not in UNPUBLISHED | UNLISTED | OF_FEATURES
    }

    assert {path: set(methods) for path, methods in document()["paths"].items()} == published


def test_every_route_has_a_constant_metric_label():
    assert [route.path for route in ROUTES if not route.label or "{" in route.label] == []
    with_conversions = {route.endpoint for route in ROUTES} - {None}
    assert with_conversions == set(Endpoint) - {Endpoint.TAG, Endpoint.CLIENT}


# A custom row.


async def answer(request: HttpRequest, source: Source):
    if request.body == b"ours":
        raise ZeroDivisionError
    return error(422, "code", f"{source.name}: {request.parameters['name']}")


async def keyed(request: HttpRequest) -> Source:
    return request.services.keys.require(request.headers)


async def test_errors_and_refusals_have_the_label_and_endpoint_of_the_route(staged):
    row = Route(
        path="/toy/{name}",
        methods=("POST",),
        label="/toy",
        authenticate=RouteAuthentication(check=keyed),
        answer=answer,
        body=SMALL_BODY,
        endpoint=Endpoint.SGTM,
    )
    stage = await staged(routes=(*ROUTES, row))

    refused = await stage.ask("POST", "/toy/coupon", b"{}")
    fault = await stage.ask("POST", "/toy/coupon", b"ours")
    large = await stage.ask("POST", "/toy/coupon", b" " * (64 * 1024 + 1))

    assert [refused.status, fault.status, large.status] == [422, 500, 413]
    assert refused.json()["errors"][0]["message"] == "shop: coupon"
    assert [notice.where for notice in stage.notices.seen if isinstance(notice, ProblemSeen)] == [
        "/toy"
    ]
    assert [notice for notice in stage.notices.seen if isinstance(notice, TurnedAway)] == [
        TurnedAway(source="shop", endpoint="sgtm", code="body_too_large")
    ]


@EVERY
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_responses_forbid_browsers_to_guess_their_type(gateway, route, method):
    sent = request(method, path_of(route), b"{}", dict(route.authenticate.sample))

    answer = (await gateway.say(sent)).lower()

    assert answer.count(b"x-content-type-options: nosniff\r\n") == 1


REPORTS = [route for route in ROUTES if route.query_parameters is not None]
OF_REPORTS = pytest.mark.parametrize("route", REPORTS, ids=lambda route: route.path)


def test_every_report_of_the_api_has_its_query_parameters():
    reports = {
        route.path
        for route in ROUTES
        if route.methods == ("GET", "HEAD") and route.path.startswith("/v1/")
    } - UNLISTED

    assert {route.path for route in REPORTS} == reports - {"/v1/projects/{source_key}/settings"}


@OF_REPORTS
def test_query_parameters_of_a_report_are_documented(route):
    operation = document()["paths"][route.path.replace(":path}", "}")]["get"]
    written = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]

    assert list(route.query_parameters) == written
    assert "400" in operation["responses"]


@OF_REPORTS
async def test_unknown_query_parameter_is_refused(gateway, route):
    path, sample = f"{path_of(route)}?stat=dead", route.authenticate.sample
    answer = await gateway.ask("GET", path, key=None, headers=sample)

    (wrong,) = answer.json()["errors"]
    assert (answer.status, wrong["code"], wrong["path"]) == (400, "parameter_unknown", "stat")
    takes = ", ".join(route.query_parameters)
    assert wrong["message"].endswith(f"takes: {takes}" if takes else "takes none")
    assert ('did you mean "state"?' in wrong["message"]) is ("state" in route.query_parameters)


async def test_unknown_query_parameter_shows_no_person(gateway):
    answer = await gateway.ask("GET", "/v1/accounting?anna@shop.example=1", key=KEY)

    assert answer.status == 400
    assert b"anna" not in answer.body


async def test_too_many_query_parameters_are_refused(gateway):
    query = "a&" * 2_000

    answer = await gateway.ask("GET", f"/v1/conversions/list?{query}", key=KEY)

    assert (answer.status, answer.json()["errors"][0]["code"]) == (400, "parameter_unknown")


INTAKE = [route for route in ROUTES if route.endpoint is not None]


@pytest.mark.parametrize("route", INTAKE, ids=lambda route: route.path)
def test_intake_refuses_no_query_parameter(route):
    assert route.query_parameters is None
