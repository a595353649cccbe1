"""A fake HTTP transport to X with scripted responses."""

from collections.abc import Callable, Iterable

import msgspec

from twite.gateway.ports.transport import NoResponse, OutboundRequest, Response

Reply = Response | NoResponse | Callable[[OutboundRequest], Response | NoResponse]


class ScriptedTransport:
    """Returns the scripted replies in turn, then accepts everything; records each request."""

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        self._replies = list(replies)
        self.sent: list[OutboundRequest] = []

    def reply(self, reply: Reply) -> None:
        """Add a reply to those that are waiting."""
        self._replies.append(reply)

    async def post(self, outbound: OutboundRequest) -> Response | NoResponse:
        """Keep the request and give the next reply."""
        self.sent.append(outbound)
        reply = self._replies.pop(0) if self._replies else taken
        return reply(outbound) if callable(reply) else reply


def conversions_of(outbound: OutboundRequest) -> list[dict[str, object]]:
    """Return the conversions in a request, decoded."""
    body = msgspec.json.decode(outbound.body, type=dict[str, list[dict[str, object]]])
    return body["conversions"]


def taken(outbound: OutboundRequest) -> Response:
    """Answer as X does when it takes everything."""
    count = len(conversions_of(outbound))
    body = {"data": {"conversions_processed": count, "debug_id": "d"}, "request": {"params": {}}}
    return Response(status=200, headers={}, body=msgspec.json.encode(body))


def refused(*errors: tuple[str, str, str], status: int = 400) -> Response:
    """Answer as X does when it refuses: (code, message, parameter) for each error."""
    body = {
        "errors": [
            {"code": code, "message": message, "parameter": parameter}
            for code, message, parameter in errors
        ],
        "request": {"params": {}},
    }
    return Response(status=status, headers={}, body=msgspec.json.encode(body))
