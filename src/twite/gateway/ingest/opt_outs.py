"""The opt-out list where nobody keeps one."""

from collections.abc import Sequence


class NobodyOptedOut:
    """An empty list that stays so."""

    def some(self) -> bool:
        return False

    def lists(self, keys: Sequence[bytes]) -> bool:
        del keys
        return False
