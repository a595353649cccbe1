"""The rules of tags, containers, and the origin of events that tags create."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.gateway.ports.tags import PREFIX, EventOrigin, TagOutcome
from twite.tags.container.parts import Container
from twite.tags.ports.web import WebRequest
from twite.tags.template.tag_response import TagResponse

ANY_HOST: Final = "*"
FORWARDED_HOST: Final = "X-Forwarded-Host"


SuppliedHeaders = tuple[tuple[str, Secret], ...]


def completed(request: IncomingRequest, headers: SuppliedHeaders) -> IncomingRequest:
    """Return the request with the headers added, unless it already has one of them."""
    if not headers or {name for name, _ in headers} & {name for name, _ in request.headers}:
        return request
    added = tuple((name, value.reveal()) for name, value in headers)
    return msgspec.structs.replace(request, headers=(*request.headers, *added))


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

    def names_host_of(self, request: WebRequest) -> bool:
        """Return whether `redirect` has the request's own host, not only `*`."""
        return bool(self.redirect) and urlsplit(request.url).hostname in self.redirect

    def redirected(self, request: WebRequest) -> WebRequest | None:
        """Return the request to the local server that replaces its host; None if there is none."""
        parts = urlsplit(request.url) if self.redirect else None
        host = "" if parts is None else parts.hostname or ""
        local = self.redirect.get(host, self.redirect.get(ANY_HOST)) if host else None
        if parts is None or local is None:
            return None
        return msgspec.structs.replace(
            request,
            url=local + urlunsplit(("", "", parts.path or "/", parts.query, "")),
            headers={**request.headers, FORWARDED_HOST: host},
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

    def completed(self, request: IncomingRequest) -> IncomingRequest:
        """Return the request with `headers` added, unless it already has one of them."""
        return completed(request, self.headers)


class ImportedContainer(msgspec.Struct, frozen=True, kw_only=True):
    """A container's file, the rules of its tags, and the source of its clients' events."""

    path: Path
    rule: TagRule
    client_source: str | None = None


def rules_of(configs: Iterable[ContainerConfig]) -> Iterator[tuple[ContainerConfig, TagRule]]:
    """Yield the rules of all containers, each with its container."""
    for config in configs:
        for rule in config.rules.values():
            yield config, rule


class TagCall(msgspec.Struct, frozen=True, kw_only=True):
    """The runContainer call by which a tag created an event.

    `id` is the same when a repeated run creates the same event. `root` names the run of the first
    tag; `tags` lists the calling tags, first to last.
    """

    id: str
    root: str
    tags: tuple[str, ...]


class CreatedEventOrigin(EventOrigin, frozen=True, kw_only=True):
    """The origin of events that a tag created by a call of runContainer."""

    call: TagCall


def call_of(origin: EventOrigin) -> TagCall | None:
    """Return the call that created the events; None if no tag created them."""
    return origin.call if isinstance(origin, CreatedEventOrigin) else None


class ContainerRun(msgspec.Struct, frozen=True, kw_only=True):
    """The tags that fired for an event of a client, and what they add to its answer."""

    tags: tuple[TagOutcome, ...] = ()
    responses: tuple[TagResponse, ...] = ()
