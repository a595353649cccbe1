"""Variables where it is decided which tags fire: whoever submits waits for them."""

import time

from twite.gateway.tags.crew import Engines
from twite.gateway.tags.trials import Trials
from twite.sgtm.container.texts import Value
from twite.sgtm.container.values import Occasion, Unfilled
from twite.sgtm.template import Template
from twite.sgtm.tree import Tree


class AtTheDoor:
    """See sgtm.container.values.Variables. A template that passed a limit rests, or is slow.

    What needs its value meanwhile does not fire, and says why: else each submission would wait for
    as long as a limit is, those that no tag hears of too. Of good runs that are quick none is
    slowed down.
    """

    def __init__(self, engines: Engines, trials: Trials) -> None:
        self._engines = engines
        self._trials = trials

    def value(self, template: Template, fields: dict[str, Tree], occasion: Occasion) -> Value:
        """Return what the template returned. Raises Unfilled while it rests."""
        whose = name_of(template)
        share = self._trials.share(whose)
        if not share.is_left:
            raise Unfilled(f"the variable template {template.name!r} rests: {_SLOW}")
        if self._trials.begin(whose):
            off = self._trials.is_off(whose)
            why = "is switched off: it hung" if off else "rests: it passed a limit"
            raise Unfilled(f"the variable template {template.name!r} {why}")
        began, making = time.thread_time(), self._engines.making
        self._engines.passed_a_limit()  # whoever ran before
        spent = False
        try:
            value = self._engines.value(template, fields, occasion)
            spent = self._engines.passed_a_limit()
        finally:
            # Of a thread that was left behind all has been told.
            if not self._engines.is_left:
                took = time.thread_time() - began
                self._trials.end(whose, took=took if spent else 0.0, spent=spent)
                share.take(took - (self._engines.making - making))
        return value


def name_of(template: Template | None) -> str:
    """Return what a variable's template is called where it is told of."""
    return f"variable {'' if template is None else template.name}"


_SLOW = "it takes longer than whoever submits can wait for so often"
