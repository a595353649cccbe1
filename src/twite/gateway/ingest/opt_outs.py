"""An empty opt-out list, for gateways without one."""

from collections.abc import Sequence


class NobodyOptedOut:
    """An opt-out list that is always empty."""

    def some(self) -> bool:
        return False

    def lists(self, keys: Sequence[bytes]) -> bool:
        del keys
        return False
