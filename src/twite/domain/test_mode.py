"""Test mode: names of the sources and pixels whose conversions only the built-in emulator gets.

Neither the names of sources nor X's ids contain a colon, so these names belong to nothing else.
"""

from collections.abc import Iterable
from typing import Final

TEST: Final = "test:"


def is_test(name: str) -> bool:
    return name.startswith(TEST)


def in_test(name: str) -> str:
    """Return the name of a source or pixel in test mode; "" for ""."""
    return name if not name or is_test(name) else f"{TEST}{name}"


def real_name(name: str) -> str:
    return name.removeprefix(TEST)


def with_test_names(names: Iterable[str]) -> frozenset[str]:
    """Return names of sources or pixels with their test names."""
    names = frozenset(names)
    return names | frozenset(map(in_test, names))
