"""A fake HTTP client for templates with scripted responses."""

from collections.abc import Iterable

from twite.gateway.ports.transport import NoResponse, Response
from twite.gateway.ports.web import WebRequest


class ScriptedWeb:
    """Gives the answers in turn, then 200 to everything; keeps what was asked.

    See twite.gateway.ports.web.Web.
    """

    def __init__(self, answers: Iterable[Response | NoResponse] = ()) -> None:
        self._answers = list(answers)
        self.asked: list[WebRequest] = []

    async def ask(self, asked: WebRequest) -> Response | NoResponse:
        """Keep the request and give the next answer."""
        self.asked.append(asked)
        if self._answers:
            return self._answers.pop(0)
        return Response(status=200, headers={}, body=b"{}")
