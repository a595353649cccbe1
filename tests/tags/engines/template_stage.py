"""Templates for tests: code, abbreviated permissions, and runs."""

from collections.abc import Mapping, Sequence

import msgspec

from twite.domain.incoming_request import IncomingRequest
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import Call, RunLimits, Turn
from twite.tags.template.template import Template, TemplateKind, TemplatePart

NOW = 1_764_000_000_000
# All permissions that need no parameters.
PLAIN = (
    "read_container_data",
    "read_event_metadata",
    "return_response",
    "run_container",
    "access_template_storage",
)
ALL: tuple[Grant, ...] = (
    *(Grant(permission=name) for name in PLAIN),
    Grant(permission="send_http", parameters={"allowedUrls": "any"}),
    Grant(permission="send_pixel_from_browser", parameters={"allowedUrls": "any"}),
    Grant(permission="read_request", parameters={"requestAccess": "any"}),
    Grant(permission="read_event_data", parameters={"eventDataAccess": "any"}),
    Grant(permission="get_cookies", parameters={"cookieAccess": "any"}),
    Grant(
        permission="set_cookies",
        parameters={
            "allowedCookies": [
                {"name": "*", "domain": "*", "path": "*", "secure": "any", "session": "any"}
            ]
        },
    ),
    Grant(permission="logging", parameters={"environments": "all"}),
    Grant(permission="access_response", parameters={"writeResponseAccess": "any"}),
    Grant(permission="use_message", parameters={"allowedActions": "any"}),
    Grant(permission="use_custom_private_keys", parameters={"keyIds": ["*"]}),
    Grant(permission="use_google_credentials", parameters={"allowedScopes": ["*"]}),
    Grant(
        permission="access_bigquery",
        parameters={
            "allowedTables": [
                {"projectId": "*", "datasetId": "*", "tableId": "*", "operation": "write"}
            ]
        },
    ),
    Grant(
        permission="access_firestore",
        parameters={"allowedOptions": [{"projectId": "*", "path": "*", "operation": "read_write"}]},
    ),
)


def template(
    code: str,
    *,
    grants: Sequence[Grant] = ALL,
    kind: TemplateKind = TemplateKind.TAG,
    tests: str | None = None,
) -> Template:
    """A template with this code."""
    return Template(
        kind=kind,
        id="cvt_test",
        name="Test",
        description="",
        fields=(),
        code=TemplatePart(text=code, line=1),
        grants=tuple(grants),
        tests=None if tests is None else TemplatePart(text=tests, line=1),
        notes="",
    )


def call(**changed: object) -> Call:
    """A call at time NOW; keyword arguments like `headers` set the request."""
    return msgspec.structs.replace(Call(fields={}, now=NOW), **changed)


def ran(
    code: str,
    *,
    grants: Sequence[Grant] = ALL,
    kind: TemplateKind = TemplateKind.TAG,
    **changed: object,
) -> Turn:
    """Run the first turn of this code."""
    return QuickJsEngine(template(code, grants=grants, kind=kind)).start(call(**changed))


def returned(code: str, **changed: object) -> object:
    """Return the result of the code, which must not fail."""
    turn = ran(code, **changed)
    assert turn.error is None, turn.error
    return turn.returned


def incoming(headers: Mapping[str, str] | None = None, **changed: object) -> IncomingRequest:
    """A request with these headers."""
    return IncomingRequest(headers=tuple((headers or {}).items()), **changed)  # type: ignore[arg-type]  # fields of IncomingRequest by name


def small() -> RunLimits:
    """Limits that a hostile template exceeds quickly."""
    return RunLimits(time=0.1)


def effects(code: str, **changed: object) -> tuple[object, ...]:
    turn = ran(code, **changed)
    assert turn.error is None, turn.error
    return turn.effects
