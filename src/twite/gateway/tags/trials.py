"""Which tags, and which templates of variables, are on trial: see gateway.on_trial."""

from collections import deque
from collections.abc import Callable

from twite.gateway.notices import Observer, Troubled
from twite.gateway.on_trial import OnTrial


class Trials:
    """One trial for each name. `elapsed` tells milliseconds that never jump.

    It may be asked from any thread; the observer is told in the loop alone, by `tell`.
    """

    def __init__(self, *, elapsed: Callable[[], int], observer: Observer) -> None:
        self._elapsed = elapsed
        self._observer = observer
        self._of: dict[str, OnTrial] = {}
        self._news: deque[tuple[str, bool]] = deque()

    def begin(self, whose: str) -> int:
        """Begin a turn, or return how many milliseconds there are to wait."""
        return self._of.setdefault(whose, OnTrial()).begin(self._elapsed())

    def end(self, whose: str, *, took: float, spent: bool) -> None:
        """Hear how a run ended that had been begun. `took` are seconds of CPU."""
        changed = self._of[whose].end(self._elapsed(), took=took, spent=spent, done=True)
        if changed is not None:
            self._news.append((whose, changed))

    def tell(self) -> None:
        """Tell who has come on trial, or off it, since this was last called."""
        while self._news:
            whose, is_on = self._news.popleft()
            reason = "passed a limit: it is on trial, and rests between its runs"
            if not is_on:
                reason = "ran well so often that it is on trial no more"
            self._observer.see(Troubled(where=whose, reason=reason))

    def rest(self, whose: str) -> int | None:
        """Return how long it rests from now on; None where it is not on trial."""
        trial = self._of.get(whose)
        return trial.wait(self._elapsed()) if trial is not None and trial.is_on else None
