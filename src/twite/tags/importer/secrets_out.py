"""Extract secrets from a container: likely secrets, and constants used in secret fields."""

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from twite.domain.secret import Secret
from twite.redaction.vocabulary import promises_secret
from twite.tags.container.parts import (
    Container,
    LookupRow,
    TemplatedPart,
    Variable,
    VariableSource,
)
from twite.tags.container.secrets import put, steps, variable_texts
from twite.tags.importer.plaintext_secrets import (
    LABELS,
    PlaintextSecret,
    is_secret,
    suspected,
)
from twite.tags.json_tree import Tree, as_list, as_mapping, as_text
from twite.tags.redaction.secrets import masked
from twite.tags.template.fields import Field
from twite.tags.template.template import Template
from twite.tags.template.texts import names_in

Part = TypeVar("Part", bound=TemplatedPart)
_PLAIN: Final = re.compile(r"[^A-Za-z0-9/]+")
_WORDS: Final = re.compile(r"[^A-Za-z0-9]+")
_READABLE: Final = 80
_LONGEST: Final = 12_000  # bytes; encrypted, at most the 16 KiB that a running gateway accepts
_TOO_LONG: Final = (
    "it is too long to be sealed: put it into a file, and name that in `secrets` as file:PATH"
)


class ExtractedSecrets(msgspec.Struct, frozen=True, kw_only=True):
    """An extracted secret: its part, its original place, and its storage place.

    Because it is printed, a name or path that contains a secret is masked.
    """

    kind: str
    name: str
    path: str
    kept: str
    secret: Secret


def without_secrets(
    container: Container, *, named: frozenset[str], place_of: Callable[[str], str]
) -> tuple[Container, tuple[ExtractedSecrets, ...], tuple[PlaintextSecret, ...]]:
    """Return the container without its secrets, the secrets, and those too long to store.

    `place_of` returns the storage place for a name.
    """
    taking = _SecretExtraction(container, named, place_of)
    clean = msgspec.structs.replace(
        container,
        variables=tuple(taking.of_variable(variable) for variable in container.variables),
        tags=tuple(taking.of_fields("tag", tag) for tag in container.tags),
        clients=tuple(taking.of_fields("client", client) for client in container.clients),
    )
    return clean, tuple(taking.taken), tuple(taking.left)


class _SecretExtraction:
    def __init__(
        self, container: Container, named: frozenset[str], place_of: Callable[[str], str]
    ) -> None:
        self._templates = container.templates
        self._named = named
        self._place_of = place_of
        self._feeding = frozenset(_feeding(container))
        self.taken: list[ExtractedSecrets] = []
        self.left: list[PlaintextSecret] = []

    def of_fields(self, kind: str, part: Part) -> Part:
        forms = _forms(self._templates, part.template)
        named = self._named | {
            path.partition(".")[2] for path in self._named if path.startswith(f"{part.name}.")
        }
        found = [
            (path, text)
            for path, text, suspect in suspected(part.fields, forms, frozenset(named))
            if is_secret(text, suspect=suspect)
        ]
        secrets, tree = self._take(kind, part.name, dict(part.fields), found)
        return msgspec.structs.replace(part, fields=tree, secrets=secrets)

    def of_variable(self, variable: Variable) -> Variable:
        held = variable_texts(variable)
        if held is None:
            return self.of_fields("variable", variable)
        is_suspect = (
            variable.name in self._named
            or variable.name in self._feeding
            or (variable.type is VariableSource.CONSTANT and promises_secret(variable.name))
        )
        # A value with which a secret is compared is itself a secret.
        promises_key = any(promises_secret(name) for name in names_in(variable.input))
        texts = [("value", variable.value, is_suspect), ("default", variable.default, is_suspect)]
        for at, row in enumerate(variable.rows):
            texts += [
                (f"rows.{at}.key", row.key, promises_key),
                (f"rows.{at}.value", row.value, is_suspect),
            ]
        found = [
            (path, text)
            for path, text, suspect in texts
            if isinstance(text, str) and is_secret(text, suspect=suspect)
        ]
        secrets, tree = self._take("variable", variable.name, held, found)
        return msgspec.structs.replace(
            variable,
            secrets=secrets,
            value=tree.get("value"),
            default=tree.get("default"),
            rows=tuple(_row(row) for row in as_list(tree["rows"])),
        )

    def _take(
        self, kind: str, name: str, tree: dict[str, Tree], found: list[tuple[str, str]]
    ) -> tuple[dict[str, str], dict[str, Tree]]:
        secrets = {}
        for path, text in found:
            shown = {"name": masked(name), "path": masked(path)}
            if len(text.encode()) > _LONGEST:
                self.left.append(PlaintextSecret(kind=kind, fix=_TOO_LONG, **shown))
                continue
            kept = self._place_of(f"{kind}/{name}/{path}")
            secrets[path] = kept
            tree = dict(as_mapping(_cleared(tree, steps(path))))
            self.taken.append(ExtractedSecrets(kind=kind, kept=kept, secret=Secret(text), **shown))
        return secrets, tree


def nobodys(container: Container, named: frozenset[str]) -> list[str]:
    known = {variable.name for variable in container.variables}
    for part in container.templated:
        words = {step for path in part.secrets for step in steps(path)}
        words.update(_words_in(dict(part.fields)))
        known |= words | {f"{part.name}.{word}" for word in words}
    return sorted(named - known)


def _words_in(tree: Tree) -> Iterator[str]:
    if isinstance(tree, list):
        for value in tree:
            yield from _words_in(value)
    elif isinstance(tree, dict):
        yield from tree
        for key, value in tree.items():
            if key in LABELS and isinstance(value, str):
                yield value
            yield from _words_in(value)


def sealed_name(place: str, *, folder: str) -> str:
    """Return a name for the vault: readable, and unique for each place and folder.

    Containers whose parts have the same names therefore do not share secrets.
    """
    readable = _PLAIN.sub("-", masked(place))[:_READABLE].strip("-")
    return f"{readable}-{_digest(f'{folder}/{place}')}"


def variable_name(place: str) -> str:
    shown = _WORDS.sub("_", masked(place).partition("/")[2])[:_READABLE].strip("_")
    return f"SGTM_{shown}_{_digest(place)[:4]}".upper()


def _feeding(container: Container) -> Iterator[str]:
    known = {variable.name: variable for variable in container.variables}
    todo: list[str] = []
    for part in container.templated:
        if variable_texts(part) is not None:
            continue
        forms = _forms(container.templates, part.template)
        for _, text, suspect in suspected(part.fields, forms, frozenset()):
            if suspect:
                todo += names_in(text)
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in known and name not in seen:
            seen.add(name)
            yield name
            variable = known[name]
            todo += names_in(
                [variable.value, variable.default, *(row.value for row in variable.rows)]
            )


def _forms(templates: Mapping[str, Template], name: str) -> tuple[Field, ...]:
    template = templates.get(name)
    return () if template is None else template.fields


def _row(tree: Tree) -> LookupRow:
    held = as_mapping(tree)
    return LookupRow(key=as_text(held.get("key")), value=held.get("value"))


def _cleared(tree: Tree, path: list[str]) -> Tree:
    step, *rest = path
    if isinstance(tree, dict) and not rest:
        return {key: value for key, value in tree.items() if key != step}
    if isinstance(tree, dict):
        return {**tree, step: _cleared(tree[step], rest)}
    if isinstance(tree, list) and rest:
        at = int(step)
        return [*tree[:at], _cleared(tree[at], rest), *tree[at + 1 :]]
    return put(tree, path, "")


def _digest(place: str) -> str:
    return sha256(place.encode()).hexdigest()[:8]
