"""Record, for a preview session, the decisions about the tags of an event."""

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field

from twite.tags.container.plan import FiringPlan
from twite.tags.container.values import EventContext
from twite.tags.ports.tags import ContainerConfig, rules_of
from twite.tags.preview.trace import PreviewEvent, RequestTrace
from twite.tags.redaction.mask_line import LineMask
from twite.tags.run.parsed_event import ParsedTagEvent
from twite.tags.run.variables import IngestEvaluation, VariableCache


@dataclass(slots=True, eq=False, repr=False)
class PreviewedTagEvent:
    trace: RequestTrace
    parsed: ParsedTagEvent
    _: KW_ONLY
    container_configs: Sequence[ContainerConfig]
    ingest: IngestEvaluation
    _seen: PreviewEvent | None = field(init=False)

    def __post_init__(self) -> None:
        verdict = self.parsed.verdict
        consent = f"{verdict.action.value} ({verdict.rule})"
        if verdict.reason:
            consent = f"{consent}: {verdict.reason}"
        mask = LineMask(secrets_of(self.container_configs), {})
        event = self.parsed.occasion.event
        self._seen = self.trace.event(self.parsed.name, event, consent, mask)

    async def record(
        self,
        container_config: ContainerConfig,
        plan: FiringPlan,
        context: EventContext,
        variables: VariableCache,
    ) -> None:
        """Record the variables, triggers and verdicts of one container."""
        seen = self._seen
        if seen is None:
            return
        rules = container_config.rules
        explanation = await self.ingest.explained(container_config, context, variables)
        self.trace.explain(
            seen, explanation, LineMask(secrets_of([container_config]), context.event)
        )
        for fired in plan.fired:
            rule, name = rules.get(fired.tag.name), fired.tag.name
            if rule is None:
                continue
            listens = rule.listens_to(self.parsed.source.name)
            why = f"trigger {fired.trigger}" if listens else "it does not listen to the source"
            if listens and fired.pending is not None:
                why = "its run decides, because a trigger needs a value from another server"
            self.trace.tag(seen, name, why, fires=listens)
        for passed in plan.passed:
            if passed.tag in rules:
                self.trace.tag(seen, passed.tag, passed.why, fires=False)


def secrets_of(container_configs: Iterable[ContainerConfig]) -> set[str]:
    return {secret.reveal() for _, rule in rules_of(container_configs) for secret in rule.secrets}
