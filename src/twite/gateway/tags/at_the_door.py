"""Variables where it is decided which tags fire: whoever submits waits for them."""

import time

from twite.gateway.tags.crew import Engines
from twite.gateway.tags.trials import Trials
from twite.sgtm.container.texts import Value
from twite.sgtm.container.values import Occasion, Unfilled
from twite.sgtm.template import Template
from twite.sgtm.tree import Tree


class AtTheDoor:
    """See sgtm.container.values.Variables. A template that passed a limit rests.

    What needs its value meanwhile does not fire, and says why: else each submission would wait for
    as long as a limit is, those that no tag hears of too. Of its good runs none is slowed down.
    """

    def __init__(self, engines: Engines, trials: Trials) -> None:
        self._engines = engines
        self._trials = trials

    def value(self, template: Template, fields: dict[str, Tree], occasion: Occasion) -> Value:
        """Return what the template returned. Raises Unfilled while it rests."""
        whose = f"variable {template.name}"
        if self._trials.begin(whose):
            raise Unfilled(f"the variable template {template.name!r} rests: it passed a limit")
        began = time.thread_time()
        self._engines.passed_a_limit()  # whoever ran before
        spent = False
        try:
            value = self._engines.value(template, fields, occasion)
            spent = self._engines.passed_a_limit()
        finally:
            took = time.thread_time() - began if spent else 0.0
            self._trials.end(whose, took=took, spent=spent)
        return value
