"""Decide which texts of a part are secrets: by field name, form, or appearance.

If a text contains a secret beside `{{names}}`, the whole text is stored elsewhere, and the names
are filled in when it is read back.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from twite.domain.json_tree import Tree
from twite.gtm.container.secrets import as_step
from twite.gtm.template.fields import Field, flat
from twite.gtm.template.references import literals
from twite.redaction.secrets import looks_secret
from twite.redaction.vocabulary import promises_secret


def secret_paths(
    fields: Mapping[str, Tree], forms: tuple[Field, ...], named: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of what looks like a secret in fields, as `rows.0.value`.

    `forms` are the template's fields, `named` the names that a person gave.
    """
    for path, text, suspect in suspected(fields, forms, named):
        if is_secret(text, suspect=suspect):
            yield path, text


def suspected(
    fields: Mapping[str, Tree], forms: tuple[Field, ...], named: frozenset[str]
) -> Iterator[tuple[str, str, bool]]:
    """Yield (path, text, whether its place promises a secret) of every text in fields."""
    labels = {field.name: f"{field.name} {field.shown} {field.hint}" for field in flat(forms)}
    for name, tree in fields.items():
        suspect = name in named or promises_secret(labels.get(name, name))
        yield from _in_tree(tree, as_step(name), suspect=suspect, named=named)


def is_secret(text: str, *, suspect: bool) -> bool:
    """Say whether a text is one; `suspect` is one whose place promises it."""
    if not suspect:
        return looks_secret(text)
    # Beside names, a word as Bearer and a sign between two of them are none.
    beside = [_PLAIN.sub("", literal) for literal in literals(text)] if "{{" in text else [text]
    return any(beside)


def _in_tree(
    tree: Tree, path: str, *, suspect: bool, named: frozenset[str]
) -> Iterator[tuple[str, str, bool]]:
    if isinstance(tree, str):
        yield path, tree, suspect
    elif isinstance(tree, list):
        for at, child in enumerate(tree):
            yield from _in_tree(child, f"{path}.{at}", suspect=suspect, named=named)
    elif isinstance(tree, dict):
        # In a row of name and value, the name says what the value is.
        label = next((v for k, v in tree.items() if k in LABELS and isinstance(v, str)), "")
        is_labelled = suspect or promises_secret(label) or label in named
        for key, child in tree.items():
            here = key in named or promises_secret(key) or (is_labelled and key not in LABELS)
            yield from _in_tree(child, f"{path}.{as_step(key)}", suspect=here, named=named)


LABELS: Final = frozenset({"name", "key", "header", "headerName", "paramName", "field"})
_PLAIN: Final = re.compile(r"\b(?:Bearer|Basic|Token)\b|[^A-Za-z0-9]+", re.IGNORECASE)
