"""Find the source of a browser request by its Origin, and answer CORS preflights."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.types import Scope

from twite.domain.destination import Source
from twite.domain.times import HOUR, MINUTE, SECOND
from twite.gateway.ports.machine import Clock
from twite.gateway.rate_limiter import RateLimiter
from twite.http.address_budget import AddressBudget, ResultT
from twite.http.addresses import Network, address_of, line_of
from twite.http.responses import CODES, HttpRefusal, HttpResponse, again, error

_PREFLIGHT_SECONDS: Final = 7_200  # the longest that Chromium caches a preflight
_METHODS: Final = b"GET, POST, OPTIONS"
_HEADERS: Final = b"content-type"
_OWN_PORTS: Final = {"http": 80, "https": 443}
_NO_ORIGIN: Final = error(
    403, "origin_missing", f"{CODES['origin_missing']}: servers post to /v1/conversions with a key"
)
_NO_SUCH_SOURCE: Final = error(
    403, "source_unclear", "s must be the name of a source that has origins"
)
_SHARED: Final = error(
    403, "source_unclear", "several sources have this origin: name one of them with ?s=<source>"
)


class PageVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's request, and the source to which its page may post.

    `address` is the visitor's address, according to trusted proxies; None if unknown.
    `has_secret_key` is whether the request contained the source's `key`, which pages must not know.
    """

    source: Source
    origin: str
    address: str | None
    has_secret_key: bool = False

    def answered(self, response: HttpResponse) -> HttpResponse:
        """Return the response with CORS headers, so that the page can read it."""
        return msgspec.structs.replace(
            response, headers=(*response.headers, *allowing(self.origin))
        )


class Origins:
    """Finds sources by the origins of their pages.

    A source without origins accepts no browser requests. `rate` is the limit of requests per minute
    from one address to all sources together, and of the CPU time that they use; a source may also
    limit the requests of all its visitors together. Each process counts by itself.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        *,
        clock: Clock,
        rate: int,
        trusted_proxies: Sequence[Network] = (),
        previous_origins: "Origins | None" = None,
    ) -> None:
        """`previous_origins` are those before a reload of the settings; their counts go on."""
        self._named = {source.name: source for source in sources if source.origins}
        self._by_origin: dict[str, list[Source]] = {}
        for source in self._named.values():
            for origin in source.origins:
                self._by_origin.setdefault(origin, []).append(source)
        self._clock = clock
        # A burst of the full rate is accepted: a page that is online again sends everything it has
        # stored.
        self.addresses = RateLimiter(size=rate, per=MINUTE)
        self.budget = AddressBudget(rate=rate, clock=clock)
        before: Mapping[tuple[str, int], RateLimiter] = {}
        if previous_origins is not None:
            self.addresses, self.budget = previous_origins.addresses, previous_origins.budget
            before = previous_origins.source_limits
        self.source_limits: dict[tuple[str, int], RateLimiter] = {
            (source.name, limit): before.get((source.name, limit))
            or RateLimiter(size=limit, per=HOUR)
            for source in self._named.values()
            if (limit := source.browser_rate) is not None
        }
        self.trusted = tuple(trusted_proxies)

    def named(self, name: str) -> Source | None:
        """Return the source with this name, if browsers may post to it."""
        return self._named.get(name)

    def visit(self, scope: Scope, name: str | None = None) -> PageVisit:
        """Return the source and the visitor's address. Raises HttpRefusal (403, 429).

        `name` is the source that the request names; without it the origin must belong to one
        source.
        """
        origin = page_origin(dict(scope["headers"]))
        if origin is None:
            raise HttpRefusal(_NO_ORIGIN)
        source = self._source(origin, name)
        address = address_of(scope, self.trusted)
        visit = PageVisit(source=source, origin=origin, address=address)
        wait = self._wait(source, address)
        if wait:
            raise HttpRefusal(visit.answered(again(429, "too_fast", -(-wait // SECOND))))
        return visit

    async def metered(self, visit: PageVisit, work: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Do the work for a page's request, and count its CPU time for the visitor's address.

        Raises HttpRefusal (429) if the address has used too much CPU time.
        """
        line = line_of(visit.address)
        self.budget.require(line)
        return await self.budget.metered(work(), line)

    def preflight(
        self, headers: Mapping[bytes, bytes], name: str | None = None, *, reads: bytes = _HEADERS
    ) -> HttpResponse:
        """Answer `OPTIONS` for a page of these origins. Raises HttpRefusal (403).

        `reads` names the allowed request headers besides the simple ones, such as `content-type`.
        """
        origin = page_origin(headers)
        if origin is None:
            raise HttpRefusal(_NO_ORIGIN)
        if name is not None or origin not in self._by_origin:
            self._source(origin, name)
        cors = (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", reads),
            (b"access-control-max-age", b"%d" % _PREFLIGHT_SECONDS),
        )
        return HttpResponse(status=204, body=b"", headers=(*allowing(origin), *cors))

    def _source(self, origin: str, name: str | None) -> Source:
        if name is None:
            found = self._by_origin.get(origin, [])
            if len(found) > 1:
                raise HttpRefusal(_SHARED)
            if not found:
                raise HttpRefusal(_wrong(origin))
            return found[0]
        source = self._named.get(name)
        if source is None:
            raise HttpRefusal(_NO_SUCH_SOURCE)
        if origin not in source.origins:
            raise HttpRefusal(_wrong(origin))
        return source

    def _wait(self, source: Source, address: str | None) -> int:
        """Count a request; return the milliseconds until this address or source may send again."""
        now, line = self._clock.elapsed(), line_of(address)
        # A debt of CPU time is refused before the body is read.
        wait = self.budget.wait(line) or self.addresses.spend(line, now=now)
        whole = self.source_limits.get((source.name, source.browser_rate or 0))
        # A request refused by the limit of its address does not count towards the source's limit.
        return wait if wait or whole is None else whole.spend(source.name, now=now)


def page_origin(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the page's origin from `Origin`, else from `Referer`; None if both are missing.

    Requests for images and same-site scripts have no `Origin`; a page that hides its address sends
    `null`.
    """
    given = headers.get(b"origin", b"").decode("latin-1")
    if given and given != "null":
        return given
    return _origin_of(headers.get(b"referer", b"").decode("latin-1"))


def allowing(origin: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the CORS headers that let one origin read a response, with credentials."""
    return (
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    )


def _origin_of(address: str) -> str | None:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _OWN_PORTS or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    own = port in {None, _OWN_PORTS[parts.scheme]}
    return f"{parts.scheme}://{host}{'' if own else f':{port}'}"


def _wrong(origin: str) -> HttpResponse:
    shown = origin if len(origin) <= 255 and origin.isascii() and origin.isprintable() else "this"
    return error(
        403,
        "origin_wrong",
        f"pages of {shown} may not post to this source: add the origin to the source's origins, "
        f"exactly as the browser sends it",
    )
