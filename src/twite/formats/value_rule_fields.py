"""The fields that an expression of a value rule reads, and the amounts that it compares."""

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final

from twite.formats.expressions import ExpressionRefused, Node, nodes

AMOUNTS: Final = frozenset({"value", "price", "tax", "shipping"})
# Names by which one may look for a person. Rules decide about amounts, and never get them.
_PERSONS: Final = frozenset(
    {
        "email", "email_sha256", "hashed_email", "phone", "phone_sha256", "hashed_phone_number",
        "identifiers", "ip", "ip_address", "twclid", "twpid", "user_agent", "user_id",
    }
)  # fmt: skip


def fields_of(tree: Node) -> Iterator[str]:
    """Yield the names of the fields that an expression reads."""
    for node, _ in nodes(tree):
        if node["type"] == "field":
            yield node["value"]


def require_fields(tree: Node, known: Collection[str]) -> None:
    """Refuse names that neither a conversion, its lines nor the expression's objects have.

    A misspelt field would be null in each conversion. Raises ExpressionRefused.
    """
    own = set(_own_names(tree))
    for name in fields_of(tree):
        if name in known or name in own:
            continue
        if name in _PERSONS:
            raise ExpressionRefused(
                f"reads {name}: rules never get identifiers of persons, whether or not a "
                "conversion has them. Remove it"
            )
        close = get_close_matches(name, known, n=1, cutoff=0.6)
        fix = f"Did you mean {close[0]!r}?" if close else f"Available: {', '.join(sorted(known))}"
        raise ExpressionRefused(f"reads {name[:64]}, which no conversion has. {fix}")


def compares_amounts(tree: Node) -> bool:
    """Return whether an expression compares an amount with a number other than 0."""
    for node, _ in nodes(tree):
        if node["type"] == "comparator":
            sides = node["children"]
            is_fixed = any(each["type"] == "literal" and each["value"] for each in sides)
            if is_fixed and any(AMOUNTS.intersection(fields_of(each)) for each in sides):
                return True
    return False


def _own_names(tree: Node) -> Iterator[str]:
    """Yield the keys of objects that the expression itself makes, as in {cost: price}."""
    for node, _ in nodes(tree):
        if node["type"] == "key_val_pair":
            yield node["value"]
        elif node["type"] == "literal" and isinstance(node["value"], dict):
            yield from node["value"]
