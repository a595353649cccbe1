"""The input of a tag run, which is the same for its first turn and its durable run."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from twite.domain.secret import Masked
from twite.domain.submission import NotFiredReason
from twite.tags.container.parts import Firing
from twite.tags.container.plan import (
    DECIDED,
    FiredTag,
    FiringPlan,
    PendingTriggers,
    SkippedTag,
    client_name,
    only,
    plan,
)
from twite.tags.container.values import EventContext, Variables
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.once_per_event import TagOfEvent
from twite.tags.run.payload import TagPayload, cookie_mark
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.template.effects import (
    AnyEffect,
    Body,
    BrowserPixel,
    Header,
    PixelBody,
    Respond,
    RunContainer,
    SetCookie,
    Status,
)
from twite.tags.template.sandbox import Call, ContainerVersion
from twite.tags.template.template import Template

_HITS: Final = "/g/collect"
_LATE: Final = (
    "the call followed a wait for a response. Twite responded to the browser after the template's "
    "first step"
)
_APIS: Final = {
    SetCookie: "setCookie",
    Header: "setResponseHeader",
    Status: "setResponseStatus",
    Body: "setResponseBody",
    PixelBody: "setPixelResponse",
    BrowserPixel: "sendPixelFromBrowser",
    Respond: "returnResponse",
}


def does_not_run(skipped: SkippedTag) -> str:
    """Return why a tag that fired does not run, in words for users."""
    return f"the tag does not run: {skipped.why}"


class RunInput(Masked, frozen=True, kw_only=True):
    """The input of a run. `seed` seeds its random numbers."""

    container_config: ContainerConfig
    rule: TagRule
    payload: TagPayload
    seed: int

    @property
    def version(self) -> ContainerVersion:
        """The container as templates see it."""
        container = self.container_config.container
        return ContainerVersion(container_id=container.public_id, version=container.version)

    @property
    def templates(self) -> tuple[Template, ...]:
        """The tag's own template, if there is one."""
        container = self.container_config.container
        names = [tag.template for tag in container.tags if tag.name == self.rule.name]
        return tuple(container.templates[name] for name in names if name in container.templates)

    def unknown_trigger(self, pending: PendingTriggers) -> str | None:
        """Return a pending trigger that the container no longer has; None if there is none."""
        known = {trigger.name for trigger in self.container_config.container.triggers}
        names = (*pending.triggers, *pending.unless)
        return next((name for name in names if name not in known), None)

    def decide(self, pending: PendingTriggers, variables: Variables) -> SkippedTag | None:
        """Evaluate the pending triggers; return why the tag does not fire, or None if it does."""
        planned = self._planned(variables, pending, filled=False)
        return None if planned.fired else self._skipped(planned)

    def plan(self, variables: Variables) -> FiredTag | str:
        """Evaluate the tag's fields with the current settings, or return why it does not run."""
        planned = self._planned(variables, DECIDED, filled=True)
        return planned.fired[0] if planned.fired else does_not_run(self._skipped(planned))

    def _skipped(self, plan: FiringPlan) -> SkippedTag:
        name = self.rule.name
        gone = SkippedTag(name, "it is no longer configured", NotFiredReason.PAUSED)
        return next((passed for passed in plan.passed if passed.tag == name), gone)

    def _planned(
        self, variables: Variables, pending: PendingTriggers, *, filled: bool
    ) -> FiringPlan:
        payload = self.payload
        occasion = EventContext(
            event=payload.event,
            now=payload.at,
            request=self.container_config.completed(payload.request),
            client=payload.client,
            consent=payload.granted,
            draw=payload.draw or self.seed,
        )
        container = only(self.container_config.container, self.rule.name, pending)
        return plan(container, occasion, variables=variables, filled=filled)

    def once_per_event(self, fired: FiredTag) -> TagOfEvent | None:
        """Identify a setup or cleanup tag that runs once per event; None for other tags."""
        container, payload = self.container_config.container, self.payload
        if not payload.draw or fired.tag.firing is not Firing.ONCE:
            return None
        sequenced = {
            other.tag
            for tag in container.tags
            for other in (tag.setup, tag.teardown)
            if other is not None
        }
        if fired.tag.name not in sequenced:
            return None
        return TagOfEvent(id(container), payload.at, payload.draw, fired.tag.name)

    def call(
        self, fired: FiredTag, *, storage: TemplateStorage, listened: Iterable[str] = ()
    ) -> Call:
        """Return the call of a tag, or of the setup or cleanup tag that runs with it."""
        payload = self.payload
        return Call(
            fields=fired.fields,
            now=payload.at,
            seed=self._seed_of(fired),
            event=fired.event,
            request=self.container_config.completed(payload.request),
            container=self.version,
            client=client_name(self.container_config.container, payload.client),
            storage=storage.of(fired.template),
            extracted=self._extracted(fired),
            listened=tuple(listened),
            browser_pixels=payload.pixels,
        )

    def _seed_of(self, fired: FiredTag) -> int:
        """Return the seed of a tag: always the same one if the tag runs once per event."""
        if self.once_per_event(fired) is None:
            return self.seed
        text = f"{fired.tag.name}\0{self.payload.draw}".encode("utf-8", "replace")
        return int.from_bytes(blake2b(text, digest_size=6).digest()) or 1

    def ignored(self, effect: AnyEffect, *, turn: int) -> str | None:
        """Return a log line about an effect that is possible only before the response.

        None if the effect already took place, in the first turn before the response.
        """
        api = _APIS.get(type(effect), type(effect).__name__)
        in_first_turn = self.payload.seed and turn == 1
        match effect:
            case SetCookie() if cookie_mark(effect) in self.payload.cookies:
                return None
            case Header() | BrowserPixel() if in_first_turn:
                return None
            case RunContainer():
                return "runContainer was ignored: only tags and clients may call it"
            case SetCookie() | Header() if self.payload.seed and not in_first_turn:
                return f"{api} was ignored: {_LATE}"
        return f"{api} was ignored: the response was sent before the tag ran"

    def _extracted(self, fired: FiredTag) -> list[dict[str, Tree]] | None:
        """Return the events that the template can extract from the request: only this event."""
        is_hit = self.payload.request.path == _HITS
        return [fired.event] if is_hit and "extractEvents" in fired.template.code.text else None
