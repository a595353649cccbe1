"""Client templates of which one claims every request, or none."""

from collections.abc import Callable

from twite.tags.template.response import ClientResponse
from twite.tags.template.sandbox import Incoming


class FakeClients:
    """Gives preset answers; records the requests."""

    def __init__(
        self, answer: ClientResponse | Exception | None = None, *, took: float = 0.0
    ) -> None:
        self.said = answer
        self.took = took
        self.asked: list[Incoming] = []

    async def answer(
        self, request: Incoming, *, charge: Callable[[float], None]
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
