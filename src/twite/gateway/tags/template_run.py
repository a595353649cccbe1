"""One template's run in an errand, and how its requests are answered."""

from typing import TYPE_CHECKING

from twite.gateway.ports import Answer as HttpAnswer
from twite.gateway.ports import NoAnswer
from twite.sgtm.sandbox import Answer, Outcome
from twite.sgtm.template import Template

if TYPE_CHECKING:
    from asyncio import Task

    from twite.sgtm.tree import Tree


class TemplateRun:
    """It began at `began`. `after` are the ids that wait for the end of the event."""

    def __init__(self, template: Template, *, began: int) -> None:
        self.template = template
        self.began = began
        self.id = 0
        self.tasks: set[Task[Answer]] = set()
        self.after: list[int] = []
        self.outcome = Outcome.SILENT
        self.returned: Tree = None
        self.error: str | None = None
        self.wake_at: int | None = None
        self.listening: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.error is not None or not (self.tasks or self.wake_at is not None)


def told(id_: int, came: HttpAnswer | NoAnswer) -> Answer:
    """Return what a template is told of its request."""
    if isinstance(came, NoAnswer):
        late = came.reason == "no answer in time"
        return Answer(id=id_, reason="timed_out" if late else "failed")
    return Answer(
        id=id_,
        status=came.status,
        headers=dict(came.headers),
        body=came.body.decode("utf-8", "replace"),
    )
