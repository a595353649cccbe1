"""Check the collector of traces."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from twite.app.observation import can_trace
from twite.config.settings import Settings
from twite.diagnostics.network import reach
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning

_EFFECT = "No traces are recorded. Conversions are sent as usual."


async def traces(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Send the collector a request without spans."""
    endpoint = settings.traces.endpoint
    if endpoint is None:
        return
    if not can_trace():
        yield failed(
            "traces",
            "traces.endpoint is set, but the extra `otel` is not installed",
            "twite serve does not start.",
            "Install requirements/otel.txt, or remove the table [traces].",
        )
        return
    path = "/v1/traces"
    url = endpoint if endpoint.endswith(path) else f"{endpoint}{path}"
    headers = {name: value.reveal() for name, value in settings.traces.headers.items()}
    headers["Content-Type"] = "application/x-protobuf"
    found = await reach(url, method="POST", headers=headers)  # a request of OTLP without spans
    answer = found if isinstance(found, str) else found.status
    if isinstance(answer, str):
        yield warning(
            "traces",
            f"the collector at {url} cannot be reached: {answer}",
            _EFFECT,
            "Start the collector, or correct traces.endpoint. Its port for OTLP over HTTP is "
            "usually 4318; 4317 is for gRPC.",
        )
    elif answer in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        yield warning(
            "traces",
            f"the collector at {url} answers {answer}",
            _EFFECT,
            "Correct traces.headers: the collector refuses the key.",
        )
    elif answer != HTTPStatus.OK:
        yield warning(
            "traces",
            f"the collector at {url} answers {answer}",
            _EFFECT,
            "Correct traces.endpoint: it must accept OTLP over HTTP at /v1/traces.",
        )
    else:
        yield passed("traces", f"the collector at {url} accepts spans")
