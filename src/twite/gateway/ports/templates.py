"""What the gateway needs to run tag templates."""

from typing import Protocol

from twite.domain.json_tree import Tree
from twite.gtm.template.effects import Forget, Keep
from twite.gtm.template.sandbox import Call, EffectAnswer, Turn
from twite.gtm.template.template import Template


class RunsTemplates(Protocol):
    """Runs templates, known by name, off the event loop.

    Turns are as `sgtm.sandbox` says: what they ask for has been checked against the template's
    permissions. Numbers of runs are a template's own.
    """

    async def start(self, template: str, call: Call) -> Turn:
        """Begin a run. Raises TemplatesBusy when more of that template wait than may.

        Raises TemplateRests where the template is on trial, and it is not its time.
        """
        ...

    async def resume(
        self, template: str, run: int, answers: tuple[EffectAnswer, ...], *, now: int
    ) -> Turn:
        """Go on with a run: answers, or only the time that has passed.

        A run that a limit ended meanwhile is told by the turn's error.
        """
        ...

    async def end(self, template: str, run: int) -> None:
        """Forget a run that will not be resumed."""
        ...


class KeepsItems(Protocol):
    """`templateDataStorage`: what each template keeps from run to run."""

    def of(self, template: Template) -> dict[str, Tree]:
        """Return a template's items, for one turn."""
        ...

    def change(self, template: Template, effect: Keep | Forget) -> bool:
        """Keep or forget something; return False where there is no more room for it."""
        ...
