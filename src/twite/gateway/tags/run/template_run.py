"""One template's run in an errand, and how its requests are answered."""

from typing import TYPE_CHECKING

from twite.gateway.ports.store import NoResponse
from twite.gateway.ports.store import Response as HttpAnswer
from twite.gtm.template.sandbox import EffectAnswer, RunResult
from twite.gtm.template.template import Template

if TYPE_CHECKING:
    from asyncio import Task

    from twite.domain.json_tree import Tree


class TemplateRun:
    """It began at `began`. `after` are the ids that wait for the end of the event."""

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


def told(id_: int, came: HttpAnswer | NoResponse) -> EffectAnswer:
    """Return what a template is told of its request."""
    if isinstance(came, NoResponse):
        late = came.reason == "no answer in time"
        return EffectAnswer(id=id_, reason="timed_out" if late else "failed")
    return EffectAnswer(
        id=id_,
        status=came.status,
        headers=dict(came.headers),
        body=came.body.decode("utf-8", "replace"),
    )
