"""The alerts of scheduled runs, such as those of `[[sync]]` and `[[export]]`."""

from collections.abc import Iterable

from twite.domain.alert import AlertKind
from twite.gateway.ports.events import ConditionChanged, Observer


class FailingRuns:
    """The error of each schedule whose last run failed. A change opens or resolves its alert."""

    def __init__(self, observer: Observer, kind: AlertKind) -> None:
        self._observer = observer
        self._kind = kind
        self._errors: dict[str, str] = {}

    def report(self, name: str, error: str) -> None:
        """Note the result of a run: "" if it succeeded."""
        if error == self._errors.get(name, ""):
            return
        self._errors[name] = error
        if not error:
            del self._errors[name]
        self._observer.see(
            ConditionChanged(kind=self._kind, subject=name, reason=error, holds=bool(error))
        )

    def keep(self, names: Iterable[str]) -> None:
        """Resolve the alerts of other names: the settings have them no more."""
        for name in self._errors.keys() - set(names):
            self.report(name, "")
