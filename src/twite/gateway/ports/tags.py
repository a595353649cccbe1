"""Tag ports: the rules of tags, what dispatches and runs them, and Google's access tokens."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit, urlunsplit

import msgspec

from twite.domain.consent import ConsentPolicy
from twite.domain.conversion import Identifiers
from twite.domain.destination import Source
from twite.domain.secret import Masked, Secret
from twite.domain.submission import AcceptedConversion, UnfiredTags
from twite.domain.times import SECOND
from twite.formats.parsed_request import Native
from twite.gateway.ports.transport import WebRequest
from twite.tags.container.parts import Container
from twite.tags.template.sandbox import Incoming
from twite.tags.template.tag_response import TagResponse

# X's ids contain no colon, so no pixel has such an id.
PREFIX: Final = "tag:"
ANY_HOST: Final = "*"
FORWARDED_HOST: Final = "X-Forwarded-Host"


SuppliedHeaders = tuple[tuple[str, Secret], ...]


def completed(request: Incoming, headers: SuppliedHeaders) -> Incoming:
    """Return the request with the headers added, unless it already has one of them."""
    if not headers or {name for name, _ in headers} & {name for name, _ in request.headers}:
        return request
    added = tuple((name, value.reveal()) for name, value in headers)
    return msgspec.structs.replace(request, headers=(*request.headers, *added))


def policy_for(policy: ConsentPolicy) -> ConsentPolicy:
    """Return a source's policy for tags, which do not support restricted data use."""
    return msgspec.structs.replace(policy, can_restrict=False)


class RepeatPolicy(StrEnum):
    """What happens to a run whose result is unknown."""

    AT_LEAST_ONCE = "at_least_once"  # the run is repeated
    AT_MOST_ONCE = "at_most_once"  # the delivery is held for a user


class PersonHandling(StrEnum):
    """How personal data in an event is stored and passed to the template."""

    HASHED = "hashed"  # emails and names as SHA-256, without phone numbers
    SEALED = "sealed"  # as received, encrypted


class TagRule(msgspec.Struct, frozen=True, kw_only=True):
    """The rule of one tag.

    `timeout` is the time limit of a run in milliseconds, `rate` the number of runs allowed in
    fifteen minutes, `in_flight` the number of concurrent runs. If `sources` is None, all sources
    are meant. `allow_hosts` may have private addresses. `secrets` are masked in logs and stored
    responses; `field_secrets` are secrets in the fields of the container, and are masked in events
    that the tag creates. `redirect` maps a host to the loopback URL to call instead; `*` stands for
    all other hosts.
    """

    name: str
    sources: frozenset[str] | None = None
    repeat: RepeatPolicy = RepeatPolicy.AT_LEAST_ONCE
    persons: PersonHandling = PersonHandling.HASHED
    timeout: int = 30 * SECOND
    rate: int = 60_000
    in_flight: int = 8
    allow_hosts: frozenset[str] = frozenset()
    secrets: tuple[Secret, ...] = ()
    field_secrets: tuple[Secret, ...] = ()
    redirect: Mapping[str, str] = {}

    @property
    def pixel(self) -> str:
        """The pixel of its deliveries."""
        return f"{PREFIX}{self.name}"

    @property
    def is_cautious(self) -> bool:
        """Whether ambiguous runs are held for a user."""
        return self.repeat is RepeatPolicy.AT_MOST_ONCE

    def names_host_of(self, asked: WebRequest) -> bool:
        """Return whether `redirect` has the request's own host, not only `*`."""
        return bool(self.redirect) and urlsplit(asked.url).hostname in self.redirect

    def redirected(self, asked: WebRequest) -> WebRequest | None:
        """Return the request to the local server that replaces its host; None if there is none."""
        parts = urlsplit(asked.url) if self.redirect else None
        host = "" if parts is None else parts.hostname or ""
        local = self.redirect.get(host, self.redirect.get(ANY_HOST)) if host else None
        if parts is None or local is None:
            return None
        return msgspec.structs.replace(
            asked,
            url=local + urlunsplit(("", "", parts.path or "/", parts.query, "")),
            headers={**asked.headers, FORWARDED_HOST: host},
            allow_hosts=frozenset({urlsplit(local).hostname or ""}),
        )

    def listens_to(self, source: str) -> bool:
        return self.sources is None or source in self.sources


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A container, and the rules of its tags by name.

    A tag without a rule runs only as a setup or cleanup tag. `headers` are added to requests
    without any of these headers, for templates and variables; they are never stored.
    """

    container: Container
    rules: dict[str, TagRule]
    headers: SuppliedHeaders = ()

    def completed(self, request: Incoming) -> Incoming:
        """Return the request with `headers` added, unless it already has one of them."""
        return completed(request, self.headers)


def rules_of(configs: Iterable[ContainerConfig]) -> Iterator[tuple[ContainerConfig, TagRule]]:
    """Yield the rules of all containers, each with its container."""
    for config in configs:
        for rule in config.rules.values():
            yield config, rule


class TagRemark(Masked, frozen=True, kw_only=True):
    """A received event: `event` as received, `native` in the native format. Its repr is masked.

    `conversion_id` is the id of its conversion, if it has one; `index` is the position of the
    conversion in the submission; `repeated` are the fields that a retry repeats.
    """

    event: Mapping[str, object]
    native: Native
    conversion_id: str | None = None
    repeated: str | None = None
    index: int | None = None


class FiringResult(msgspec.Struct, frozen=True, kw_only=True):
    """The tags that fired for a submission, and why the others did not.

    `responses` has what fired tags add to the answer, by the index of their entry.
    """

    fired: tuple[AcceptedConversion, ...] = ()
    unfired: tuple[UnfiredTags, ...] = ()
    responses: Mapping[int, TagResponse] = {}


class TagCall(msgspec.Struct, frozen=True, kw_only=True):
    """The runContainer call by which a tag created an event.

    `id` is the same when a repeated run creates the same event. `root` names the run of the first
    tag; `tags` lists the calling tags, first to last.
    """

    id: str
    root: str
    tags: tuple[str, ...]


class BrowserWait(msgspec.Struct, frozen=True, kw_only=True):
    """A browser waits for the answer. `pixels` is whether it can load pixels."""

    pixels: bool = False


class EventOrigin(Masked, frozen=True, kw_only=True):
    """Where events came from: what tags may read about that, and how they may respond.

    `request_id` is the same for each repetition of the request, and unique if there is none.
    `request` is the part that tags may read, `client` the client template that parsed it. `waits`
    is set if a browser waits for the response. `from_page` is whether a page sent the events, or
    the event from which a tag created them. `call` is set if a tag created the events. `persons`
    lists the people of the tag's own event: their opt-outs apply to the created events. Its repr is
    masked.
    """

    in_repr = ("client",)
    request_id: str = ""
    request: Incoming = Incoming()
    client: str = ""
    waits: BrowserWait | None = None
    from_page: bool = False
    call: TagCall | None = None
    persons: tuple[Identifiers, ...] = ()


TagStatus = Literal["queued", "duplicate", "suppressed", "held"]


class TagOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The status of a tag that fired, and has not run yet."""

    tag: str
    status: TagStatus


class ContainerRun(msgspec.Struct, frozen=True, kw_only=True):
    """The tags that fired for an event of a client, and what they add to its answer."""

    tags: tuple[TagOutcome, ...] = ()
    responses: tuple[TagResponse, ...] = ()


class DispatchesTags(Protocol):
    """Decides which tags fire: see gateway.tags.run.dispatcher."""

    def listens_to(self, source: str) -> bool: ...

    async def dispatch(
        self,
        remarks: Sequence[TagRemark],
        *,
        source: Source,
        origin: EventOrigin,
        now: int,
        first: int,
        held: Mapping[int, str],
    ) -> FiringResult:
        """Return an entry for each tag that fires for each event; indexes start at `first`.

        `held` has the reasons of held conversions, by index: their tags are held, too.
        """


class GoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """An access token. It is valid for `lifetime` milliseconds."""

    text: Secret
    lifetime: int


class NoGoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why there is no token. `refused` is whether Google refused it."""

    reason: str
    refused: bool = False


class GoogleTokenSource(Protocol):
    """A source of tokens: a service account, with a key or provided by this machine."""

    async def token(self, scopes: tuple[str, ...]) -> GoogleToken | NoGoogleToken:
        """Request a token for scopes. Raises only CancelledError."""

    async def project(self) -> str | None:
        """Return the default project, or None."""

    async def stop(self) -> None: ...
