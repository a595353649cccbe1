"""A way out for templates that answers as it is told."""

from collections.abc import Iterable

from twite.gateway.ports import Answer, NoAnswer
from twite.gateway.tags.web import Asked


class ScriptedWeb:
    """Gives the answers in turn, then 200 to everything; keeps what was asked.

    See twite.gateway.tags.web.Web.
    """

    def __init__(self, answers: Iterable[Answer | NoAnswer] = ()) -> None:
        self._answers = list(answers)
        self.asked: list[Asked] = []

    async def ask(self, asked: Asked) -> Answer | NoAnswer:
        """Keep the request and give the next answer."""
        self.asked.append(asked)
        if self._answers:
            return self._answers.pop(0)
        return Answer(status=200, headers={}, body=b"{}")
