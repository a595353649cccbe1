"""The run of one template within a tag run, and the answers to its requests."""

from typing import TYPE_CHECKING

from twite.gateway.ports.transport import NoResponse
from twite.gateway.ports.transport import Response as HttpAnswer
from twite.gtm.template.sandbox import EffectAnswer, RunResult
from twite.gtm.template.template import Template

if TYPE_CHECKING:
    from asyncio import Task

    from twite.domain.json_tree import Tree


class TemplateRun:
    """A run begun at `began`. `after` are the callbacks for the end of the event."""

    def __init__(self, template: Template, *, began: int) -> None:
        self.template = template
        self.began = began
        self.id = 0
        self.tasks: set[Task[EffectAnswer]] = set()
        self.after: list[int] = []
        self.outcome = RunResult.SILENT
        self.returned: Tree = None
        self.error: str | None = None
        self.wake_at: int | None = None
        self.listening: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.error is not None or not (self.tasks or self.wake_at is not None)


def told(id_: int, response: HttpAnswer | NoResponse) -> EffectAnswer:
    """Return what a template is told of its request."""
    if isinstance(response, NoResponse):
        late = response.reason == "no answer in time"
        return EffectAnswer(id=id_, reason="timed_out" if late else "failed")
    return EffectAnswer(
        id=id_,
        status=response.status,
        headers=dict(response.headers),
        body=response.body.decode("utf-8", "replace"),
    )
