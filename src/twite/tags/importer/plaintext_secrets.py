"""Decide which strings are secrets, and find secrets that remain in the written files.

If a string contains a secret and `{{names}}`, the whole string is stored elsewhere, and the names
are replaced when it is read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from twite.redaction.vocabulary import promises_secret
from twite.tags.container.parts import Container
from twite.tags.container.secrets import as_step
from twite.tags.json_tree import Tree
from twite.tags.redaction.secrets import looks_secret, masked
from twite.tags.template.fields import Field, flat
from twite.tags.template.template import Template
from twite.tags.template.texts import literals, names_in

LABELS: Final = frozenset({"name", "key", "header", "headerName", "paramName", "field"})
_PLAIN: Final = re.compile(r"\b(?:Bearer|Basic|Token)\b|[^A-Za-z0-9]+", re.IGNORECASE)
_MOST_LINES: Final = 20
_HEAD: Final = re.compile(r"\ufeff?___([A-Z0-9_]+)___\s*")
_HELP: Final = re.compile(r'"(?:help|valueHint)"\s*:\s*"(?:[^"\\]|\\.)*"')
_ESCAPE: Final = re.compile(r"\\+u([0-9a-fA-F]{4})")
_BREAK: Final = re.compile(r"\\+[nrt]")
# `apiKey = "sesame-1"`: a string of some length, assigned to a name that indicates a secret.
_ASSIGNED: Final = re.compile(
    r"""["']?([A-Za-z_$][\w$-]*)["']?\s*[:=]\s*(?P<q>["'])(?!(?P=q))[^\s"']{8,}(?P=q)"""
)
_OF_SECRETS: Final = re.compile(
    r"(?:name|type|url|uri|path|field|param|parameter|header|cookie|id|label|endpoint|method|mode"
    r"|source|prefix|text|title|key_?path)s?$",
    re.IGNORECASE,
)
_RENAME: Final = "rename it in the tag manager, and import again"
_SAY: Final = "in the tag manager, move the value to a Constant variable, and import again"
_INTO_FIELD: Final = (
    "in the tag manager, turn the value into a template field that the tag sets, and import again"
)
_EMPTY_DEFAULT: Final = "remove the default from the template, and set the value in its tag"
_FIXES: Final[Mapping[str, str]] = {
    "trigger": "in the tag manager, move the value to a Constant variable, compare with {{that "
    "variable}}, and import again: Twite stores Constants encrypted",
    "transformation": "in the tag manager, move the value to a Constant variable, "
    "refer to it here as {{that variable}}, and import again: "
    "Twite stores Constants encrypted",
}


def suspected(
    fields: Mapping[str, Tree], forms: tuple[Field, ...], named: frozenset[str]
) -> Iterator[tuple[str, str, bool]]:
    """Yield (path, text, suspect) for every text in fields; a path is such as `rows.0.value`.

    `suspect` is whether the field name indicates a secret. `forms` are the template's fields,
    `named` the names given by the user.
    """
    labels = {field.name: f"{field.name} {field.shown} {field.hint}" for field in flat(forms)}
    for name, tree in fields.items():
        suspect = name in named or promises_secret(labels.get(name, name))
        yield from _in_tree(tree, as_step(name), suspect=suspect, named=named)


def is_secret(text: str, *, suspect: bool) -> bool:
    """Return whether a string is a secret; `suspect` is whether its field name indicates one."""
    if not suspect:
        return looks_secret(text)
    # Besides references, a word such as Bearer or a separator is no secret.
    return any(_PLAIN.sub("", literal) for literal in literals(text))


def _in_tree(
    tree: Tree, path: str, *, suspect: bool, named: frozenset[str]
) -> Iterator[tuple[str, str, bool]]:
    if isinstance(tree, str):
        yield path, tree, suspect
    elif isinstance(tree, list):
        for at, child in enumerate(tree):
            yield from _in_tree(child, f"{path}.{at}", suspect=suspect, named=named)
    elif isinstance(tree, dict):
        # In a row with a name and a value, the name tells what the value is.
        label = next((v for k, v in tree.items() if k in LABELS and isinstance(v, str)), "")
        is_labelled = suspect or promises_secret(label) or label in named
        for key, child in tree.items():
            here = key in named or promises_secret(key) or (is_labelled and key not in LABELS)
            yield from _in_tree(child, f"{path}.{as_step(key)}", suspect=here, named=named)


class PlaintextSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A likely secret in plain text: its place, and the fix.

    `path` is a path in the part, such as `when.0.right`, or names the lines of a template.
    """

    kind: str
    name: str
    path: str
    fix: str


def left_in_plain_text(
    container: Container,
    texts: Mapping[str, str],
    *,
    public: frozenset[str],
    besides: Sequence[PlaintextSecret] = (),
) -> tuple[PlaintextSecret, ...]:
    """Return the likely secrets that remain in a container and its templates.

    `public` contains templates from the public gallery, `besides` the secrets reported already.
    """
    listed = {(beside.kind, beside.name, beside.path) for beside in besides}
    found = [
        in_part
        for in_part in _in_parts(container)
        if (in_part.kind, in_part.name, in_part.path.removeprefix("fields.")) not in listed
    ]
    for name, text in texts.items():
        if name not in public:
            found += _in_template(name, text, container.templates[name])
    return tuple(found)


def _in_parts(container: Container) -> Iterator[PlaintextSecret]:
    for key in ("name", "public_id", "version"):
        if looks_secret(getattr(container, key)):
            yield PlaintextSecret(kind="container", name="", path=key, fix=_RENAME)
    for name in container.templates:
        if looks_secret(name):
            yield PlaintextSecret(kind="template", name=masked(name), path="name", fix=_RENAME)
    for kind in ("client", "variable", "trigger", "tag", "transformation"):
        for part in getattr(container, f"{kind}s"):
            tree = msgspec.json.decode(msgspec.json.encode(part), type=dict[str, Tree])
            # Storage places are derived from paths, which also occur in the part.
            kept = tree.pop("secrets", None)
            paths: dict[str, Tree] = dict.fromkeys(kept) if isinstance(kept, dict) else {}
            for path, fix in _in_part(kind, {**tree, "secrets": paths}):
                shown = masked(part.name)
                yield PlaintextSecret(kind=kind, name=shown, path=masked(path), fix=fix)


def _in_part(kind: str, tree: dict[str, Tree]) -> Iterator[tuple[str, str]]:
    for path, is_key, text in _texts(tree, ""):
        if looks_secret(text):
            named = is_key or path == "name"
            yield path, _RENAME if named else _FIXES.get(kind, _SAY)
    held = tree.get("set")
    if isinstance(held, dict):
        for path, text, suspect in suspected(held, (), frozenset()):
            if suspect and is_secret(text, suspect=True) and not looks_secret(text):
                yield f"set.{path}", _FIXES[kind]
    when = tree.get("when")
    for at, condition in enumerate(when if isinstance(when, list) else []):
        if isinstance(condition, dict) and _compares_secret(condition):
            yield f"when.{at}.right", _FIXES[kind]


def _compares_secret(condition: dict[str, Tree]) -> bool:
    right = condition.get("right")
    promises = any(promises_secret(name) for name in names_in(condition.get("left")))
    return (
        promises
        and isinstance(right, str)
        and is_secret(right, suspect=True)
        and not looks_secret(right)
    )


def _texts(tree: Tree, path: str) -> Iterator[tuple[str, bool, str]]:
    if isinstance(tree, str):
        yield path, False, tree
    elif isinstance(tree, list):
        for at, value in enumerate(tree):
            yield from _texts(value, f"{path}.{at}" if path else str(at))
    elif isinstance(tree, dict):
        for key, value in tree.items():
            below = f"{path}.{as_step(key)}" if path else as_step(key)
            yield below, True, key
            yield from _texts(value, below)


def _in_template(name: str, text: str, template: Template) -> Iterator[PlaintextSecret]:
    lines = [at for at, line in _judged_lines(text) if _line_holds_secret(_unescaped(line))]
    if lines:
        shown = ", ".join(str(number) for number in lines[:_MOST_LINES])
        more = f" and {len(lines) - _MOST_LINES} more" if len(lines) > _MOST_LINES else ""
        path = f"line{'s' * (len(lines) > 1)} {shown}{more}"
        yield PlaintextSecret(kind="template", name=masked(name), path=path, fix=_INTO_FIELD)
    for field in flat(template.fields):
        if _has_secret_default(field):
            path = f"the default of its field {masked(field.name)}"
            yield PlaintextSecret(kind="template", name=masked(name), path=path, fix=_EMPTY_DEFAULT)


def _judged_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a template with their numbers, without tests and texts for people.

    These contain made-up values that look like secrets, and their authors published them.
    """
    section = ""
    for at, line in enumerate(text.split("\n"), 1):
        head = _HEAD.fullmatch(line)
        section = head[1] if head else section
        if section == "TESTS":
            continue
        yield at, _HELP.sub("", line) if section == "TEMPLATE_PARAMETERS" else line


def _has_secret_default(field: Field) -> bool:
    promises = promises_secret(f"{field.name} {field.shown} {field.hint}")
    plain = isinstance(field.default, str) and not looks_secret(field.default)
    return promises and plain and bool(literals(str(field.default))) and field.type == "TEXT"


# Cached, because templates repeat lines, mostly in the JSON of their permissions.
@lru_cache(maxsize=4096)
def _line_holds_secret(line: str) -> bool:
    if looks_secret(line):
        return True
    return any(
        promises_secret(found[1]) and not _OF_SECRETS.search(found[1])
        for found in _ASSIGNED.finditer(line)
    )


def _unescaped(line: str) -> str:
    """Undo the escapes of JSON and JavaScript, because a secret may follow an escape."""
    return _BREAK.sub(" ", _ESCAPE.sub(lambda found: chr(int(found[1], 16)), line))
