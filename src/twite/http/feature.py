"""What an optional feature, such as tags, does with requests and responses."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from starlette.types import Receive, Scope

from twite.gateway.ports.tags import ResponseAddition
from twite.http.cookies import BrowserCookies
from twite.http.responses import HttpResponse

Respond = Callable[[Scope, Receive], Awaitable[HttpResponse]]


class HttpFeature(Protocol):
    """Sees the requests before the routes, and adds to their responses."""

    @property
    def watches_requests(self) -> bool:
        """Whether the feature must see every request at the moment, even typical ones."""

    async def answer(
        self,
        scope: Scope,
        receive: Receive,
        respond: Respond,
        *,
        label: str | None,
        claimable: bool,
    ) -> HttpResponse:
        """Answer a request, usually by `respond`.

        `label` is that of its route, None without one. `claimable` is whether the feature may
        answer it in place of a route. Raises ClientGone.
        """

    def with_additions(
        self,
        response: HttpResponse,
        additions: Sequence[ResponseAddition],
        browser_cookies: BrowserCookies,
    ) -> HttpResponse:
        """Return the response with the additions of tags."""
