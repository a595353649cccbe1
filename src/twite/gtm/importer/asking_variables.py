"""Find variables whose templates make requests: they are not awaited during intake."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from twite.gtm.container.faults import needed_by
from twite.gtm.container.parts import Variable, VariableSource
from twite.gtm.template.template import Template


class AskingVariables:
    """Knows which variables run a template, and which of those make requests."""

    def __init__(
        self, variables: Mapping[str, Variable], templates: Mapping[str, Template]
    ) -> None:
        self._variables = variables
        self._templates = templates

    def notes_of_trigger(self, names: Iterable[str]) -> Iterator[str]:
        """Yield notes about a trigger that uses these variables."""
        for name in dict.fromkeys(names):
            if self._needs(name, _asks):
                yield (
                    f"it looks at {name!r}, which fetches its value over the network: "
                    "triggers cannot wait for that. While there is none, its tags do not fire"
                )

    def notes_of_client(self, names: Iterable[str]) -> Iterator[str]:
        """Yield notes about a client that uses these variables."""
        for name in dict.fromkeys(names):
            if self._needs(name, lambda _: True):
                yield f"{name!r} in its fields runs a template: it has no value there"

    def _needs(self, name: str, fits: Callable[[Template], bool]) -> bool:
        seen, ahead = set[str](), [name]
        while ahead:
            variable = self._variables.get(ahead.pop())
            if variable is None or variable.name in seen:
                continue
            seen.add(variable.name)
            template = self._templates.get(variable.template)
            if variable.type is VariableSource.TEMPLATE and template is not None and fits(template):
                return True
            ahead += needed_by(variable)
        return False


def _asks(template: Template) -> bool:
    code = template.code.text
    return any(f"require('{api}')" in code or f'require("{api}")' in code for api in _ASKING)


_ASKING: Final = (
    "sendHttpRequest",
    "sendHttpGet",
    "BigQuery",
    "Firestore",
    "getGoogleScript",
    "sendEventToGoogleAnalytics",
)
