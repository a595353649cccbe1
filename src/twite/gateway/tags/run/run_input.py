"""The input of a tag run, which is the same for its first turn and its durable run."""

from collections.abc import Iterable
from typing import Final

import msgspec

from twite.domain.json_tree import Tree
from twite.gateway.ports.tags import ContainerConfig, KeepsItems, TagRule
from twite.gateway.tags.run.payload import TagPayload
from twite.gtm.container.plan import FiredTag, client_name, only, plan
from twite.gtm.container.values import EventContext, Variables
from twite.gtm.template.sandbox import Call, ContainerVersion
from twite.gtm.template.template import Template

_HITS: Final = "/g/collect"


class RunInput(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a run. `seed` seeds its random numbers."""

    container_config: ContainerConfig
    rule: TagRule
    payload: TagPayload
    seed: int

    def __repr__(self) -> str:
        return f"RunInput({self.rule.name})"

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

    def plan(self, variables: Variables) -> FiredTag | str:
        """Evaluate the tag's fields with the current settings; return why the tag does not run."""
        payload = self.payload
        occasion = EventContext(
            event=payload.event,
            now=payload.at,
            request=self.container_config.completed(payload.request),
            client=payload.client,
            consent=payload.granted,
            draw=payload.draw or self.seed,
        )
        container = only(self.container_config.container, self.rule.name)
        planned = plan(container, occasion, variables=variables)
        if planned.fired:
            return planned.fired[0]
        why = next(
            (passed.why for passed in planned.passed if passed.tag == self.rule.name),
            "it is no longer configured",
        )
        return f"the tag does not run: {why}"

    def call(self, fired: FiredTag, *, storage: KeepsItems, listened: Iterable[str] = ()) -> Call:
        """Return the call of a tag, or of the setup or cleanup tag that runs with it."""
        payload = self.payload
        return Call(
            fields=fired.fields,
            now=payload.at,
            seed=self.seed,
            event=fired.event,
            request=self.container_config.completed(payload.request),
            container=self.version,
            client=client_name(self.container_config.container, payload.client),
            storage=storage.of(fired.template),
            extracted=self._extracted(fired),
            listened=tuple(listened),
            browser_pixels=payload.pixels,
        )

    def _extracted(self, fired: FiredTag) -> list[dict[str, Tree]] | None:
        """Return the events the template extracts: this one event."""
        is_hit = self.payload.request.path == _HITS
        return [fired.event] if is_hit and "extractEvents" in fired.template.code.text else None
