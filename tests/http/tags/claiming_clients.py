"""Client templates of which one claims every request, or none."""

from collections.abc import Callable
from functools import partial
from typing import Any

from http_stage import StoppedClock

from fakes import SeededRandomness
from twite.domain.incoming_request import IncomingRequest
from twite.tags.preview.sessions import PreviewSessions
from twite.tags.routes.tag_requests import TagRequests
from twite.tags.template.response import ClientResponse


class FakeClients:
    """Gives preset answers; records the requests."""

    def __init__(
        self, answer: ClientResponse | Exception | None = None, *, took: float = 0.0
    ) -> None:
        self.said = answer
        self.took = took
        self.asked: list[IncomingRequest] = []

    async def answer(
        self, request: IncomingRequest, *, charge: Callable[[float], None]
    ) -> ClientResponse | None:
        self.asked.append(request)
        charge(self.took)
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


CLAIMED = ClientResponse(
    status=201,
    headers=(("content-type", "text/plain"), ("x-a", "ä")),
    cookies=("a=1; Path=/", "b=2; Path=/"),
    body=b"taken",
)


def serving(clients: FakeClients | None, previews: PreviewSessions | None = None) -> dict[str, Any]:
    """Return the argument of a stage whose client templates are these."""
    previews = previews or PreviewSessions(clock=StoppedClock(), randomness=SeededRandomness())
    return {"make_feature": partial(TagRequests, clients=clients, previews=previews)}
