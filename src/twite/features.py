"""Features: optional packages of the gateway, such as the one for tag templates.

`CONTRIBUTIONS` in `<feature>/contributions.py` lists what a feature adds, by kind. Nothing else
imports a feature. Without its folder, the gateway runs without it.
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Literal, TypeVar

FEATURES: Final = ("twite.tags",)

# A kind is what a layer composes; the layer's own class says what a contribution is.
Kind = Literal["commands", "checks", "settings", "routes", "gateway"]
ContributionT = TypeVar("ContributionT")


@cache
def _places(kind: Kind) -> tuple[str, ...]:
    return tuple(
        place
        for feature in FEATURES
        if _is_present(feature)
        for place in import_module(f"{feature}.contributions").CONTRIBUTIONS.get(kind, ())
    )


def _is_present(feature: str) -> bool:
    """Return whether the feature has its file, not only a folder that was left over."""
    try:
        return find_spec(f"{feature}.contributions") is not None
    except ModuleNotFoundError:
        return False


def contributed(kind: Kind, contract: type[ContributionT]) -> Iterator[ContributionT]:
    """Yield what the features contribute of one kind. Raises TypeError for another type."""
    for place in _places(kind):
        module, _, name = place.partition(":")
        contribution = getattr(import_module(module), name)
        if not isinstance(contribution, contract):
            raise TypeError(f"{place} is not a {contract.__name__}")
        yield contribution
