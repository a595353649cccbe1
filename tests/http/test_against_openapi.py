"""openapi.json and a gateway on a real socket: valid requests get documented responses."""

import asyncio
import os
import re
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from http_stage import KEY, Stage
from hypothesis import HealthCheck, settings
from pages import a_shop

from builders import a_destination
from fakes import MovingClock, SeededRandomness
from openapi_document import document
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.stape_proxy import StapeProxy
from twite.http.route_table import ROUTES
from twite.stores.sqlite import SQLiteStore

# A request with too many conversions has too large a body: 413, as documented.
REFUSALS = "400 401 403 404 405 406 409 413 415 422 428 429 5xx"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
DOCUMENT = document()
LONG = bool(os.environ.get("TWITE_TRIAL"))
# The short form sends the first and every third of the cases that schemathesis derives from the
# schema of an operation: some operations have 400.
EVERY = 1 if LONG else 3
SEEN = Counter[tuple[str, str]]()
CREDENTIALS = {
    re.sub(r"\{(\w+):path\}", r"{\1}", route.path): route.authenticate.sample for route in ROUTES
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a gateway with a store, in its own event loop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    path = str(tmp_path_factory.mktemp("store") / "twite.db")
    store = asyncio.run_coroutine_threadsafe(SQLiteStore.open(path), loop).result(10)
    accept = Accept(
        intake=store,
        clock=MovingClock(),
        randomness=SeededRandomness(),
        destinations={"o8z6j": a_destination()},
        salt=b"salt",
        wake=lambda _pixel: None,
    )
    stage = Stage(
        accept=accept,
        records=store,
        moves=store,
        sources=[a_shop()],
        browser_rate=1_000_000,
        proxy=StapeProxy(
            accept=accept,
            clock=MovingClock(),
            salt=b"salt",
            destinations={"o8z6j": a_destination()},
        ),
    )
    asyncio.run_coroutine_threadsafe(stage.server.start(), loop).result(10)
    yield stage.server.url
    asyncio.run_coroutine_threadsafe(stage.server.stop(), loop).result(20)
    asyncio.run_coroutine_threadsafe(store.close(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


# Imported inside the test; otherwise each test process would build it.
@pytest.mark.parametrize("path", DOCUMENT["paths"])
def test_responses_match_the_openapi_document(path, address):
    import schemathesis  # noqa: PLC0415
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415
    from schemathesis.pytest.lazy import get_all_tests  # noqa: PLC0415

    schema = schemathesis.openapi.from_dict(
        DOCUMENT,
        config=SchemathesisConfig.from_dict(
            {"checks": {"negative_data_rejection": {"expected-statuses": REFUSALS.split()}}}
        ),
    )
    tests = get_all_tests(
        schema=schema.include(path=path),
        test_func=answered,
        settings=settings(
            max_examples=40 if LONG else 3,
            suppress_health_check=list(HealthCheck),
        ),
        given_kwargs={},
    )

    for result in tests:
        _, test = result.ok()
        test(address=address)


def answered(case, address):
    operation = case.method, case.path
    SEEN[operation] += 1
    if SEEN[operation] % EVERY != 1 % EVERY:
        return
    import requests  # noqa: PLC0415
    from schemathesis import checks  # noqa: PLC0415

    known = CREDENTIALS.get(case.path, {})
    case.headers = {**case.headers, **known}
    if "pixel_id" in case.path_parameters:
        case.path_parameters["pixel_id"] = "o8z6j"
    if "source_key" in case.path_parameters:
        case.path_parameters["source_key"] = KEY

    with requests.Session() as session:
        # Reading proxies from the environment takes longer than a request.
        session.trust_env = False
        case.call_and_validate(
            base_url=address, session=session, checks=[getattr(checks, name) for name in CHECKS]
        )
