"""Import transformations.

A transformation that cannot be read completely is left out: what cannot be read might change which
tags it applies to, when it applies, or which data it removes.
"""

from collections.abc import Mapping
from typing import Final

from twite.tags.container.parts import Condition, Transformation
from twite.tags.importer.coverage import TRANSFORMATIONS
from twite.tags.importer.reading import (
    ExportPart,
    LeftOut,
    flag_in,
    rows_in,
    spelled,
    text_in,
    values,
)
from twite.tags.importer.report import holds, unread
from twite.tags.importer.simple_parts import compared, known_or_left_out
from twite.tags.json_tree import Tree

_FLAGS: Final = frozenset({"allTagsExcept", "matchingConditionsEnabled", "booleanExpressionString"})
_COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "excludedParamsTable": frozenset({"excludedParams"}),
    "allowedParamsTable": frozenset({"allowedParams"}),
    "augmentEventTable": frozenset({"paramName", "paramValue"}),
    "affectedTags": frozenset({"tagReference"}),
    "affectedTagTypes": frozenset({"tagType", "tagTypeExceptions"}),
    "matchingConditionsTable": frozenset(
        {"variableName", "variableReference", "expressionType", "expressionValue"}
    ),
}
_NAMING: Final[Mapping[str, str]] = {
    "excludedParamsTable": "excludedParams",
    "allowedParamsTable": "allowedParams",
    "augmentEventTable": "paramName",
    "affectedTags": "tagReference",
    "affectedTagTypes": "tagType",
}
_SHORT: Final[Mapping[str, str]] = {
    "EQUAL": "EQUALS",
    "CONTAIN": "CONTAINS",
    "START_WITH": "STARTS_WITH",
    "END_WITH": "ENDS_WITH",
    "MATCHES_REGEX": "MATCH_REGEX",
}


def transformation(
    part: ExportPart, name: str, *, tags: Mapping[str, str], templates: Mapping[str, str]
) -> tuple[Transformation, list[str]]:
    """Read a transformation. `tags` and `templates` map the export's names and types to Twite's."""
    known_or_left_out(TRANSFORMATIONS, part.word)
    notes = unread("transformation", part, narrows=True)
    held = values(part.pieces("parameter"))
    _refuse_unknown_keys(held)
    named = [text_in(row, "tagReference") for row in rows_in(held, "affectedTags")]
    types = rows_in(held, "affectedTagTypes")
    if any(rows_in(row, "tagTypeExceptions") for row in types):
        raise LeftOut(
            "it has exceptions for a type of tag (tagTypeExceptions): name the tags instead"
        )
    words = [text_in(row, "tagType") for row in types]
    others = flag_in(held, "allTagsExcept")
    # Tags that are left out do not need the transformation.
    for_tags = tuple(tags[name] for name in named if name in tags)
    for_templates = tuple(templates[word] for word in words if word in templates)
    if (named or words) and not (for_tags or for_templates) and not others:
        raise LeftOut("the tags that it applies to are not in the container")
    change = Transformation(
        name=name,
        when=_matching(held),
        exclude=_names(held, "excludedParamsTable", "excludedParams"),
        allow=_names(held, "allowedParamsTable", "allowedParams"),
        set={
            text_in(row, "paramName"): row.get("paramValue", "")
            for row in rows_in(held, "augmentEventTable")
        },
        tags=for_tags,
        templates=for_templates,
        others=others,
    )
    tables = sum(map(bool, (change.exclude, change.allow, change.set)))
    if tables != 1:
        raise LeftOut("it has more than one table" if tables else "its table is empty")
    return change, notes


def concerned(
    part: ExportPart, *, tags: Mapping[str, str], templates: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the tags that a transformation may apply to; `tags` maps names to their templates."""
    try:
        held = values(part.pieces("parameter"))
        named = {text_in(row, "tagReference") for row in rows_in(held, "affectedTags")}
        words = [text_in(row, "tagType") for row in rows_in(held, "affectedTagTypes")]
    except LeftOut:  # its tags cannot be read
        return tuple(tags)
    used = {templates.get(word, "") for word in words}
    if not named and not words:
        return tuple(tags)
    others = flag_in(held, "allTagsExcept")
    return tuple(
        name for name, used_by in tags.items() if (name in named or used_by in used) is not others
    )


def _matching(held: dict[str, Tree]) -> tuple[Condition, ...]:
    if not flag_in(held, "matchingConditionsEnabled"):
        return ()
    if not rows_in(held, "matchingConditionsTable"):
        raise LeftOut("its conditions are enabled, but it has none")
    if text_in(held, "booleanExpressionString"):
        raise LeftOut("its conditions are joined by an expression (booleanExpressionString)")
    found = []
    for row in rows_in(held, "matchingConditionsTable"):
        word = spelled(text_in(row, "expressionType"))
        negate = word.startswith(("NOT_", "DOES_NOT_"))
        word = word.removeprefix("DOES_").removeprefix("NOT_")
        left = text_in(row, "variableReference") or f"{{{{{text_in(row, 'variableName')}}}}}"
        right = text_in(row, "expressionValue")
        found.append(compared(_SHORT.get(word, word), left, right, negate=negate))
    return tuple(found)


def _names(held: dict[str, Tree], table: str, column: str) -> tuple[str, ...]:
    return tuple(text_in(row, column) for row in rows_in(held, table))


def _refuse_unknown_keys(held: dict[str, Tree]) -> None:
    unknown = sorted(
        key for key, value in held.items() if key not in {*_COLUMNS, *_FLAGS} and holds(value)
    )
    if unknown:
        raise LeftOut(f"its parameter {unknown[0]!r} is not known to Twite")
    for table, columns in _COLUMNS.items():
        for row in rows_in(held, table):
            others = sorted(set(row) - columns)
            if others:
                raise LeftOut(f"in its {table} the column {others[0]!r} is not known to Twite")
            if not row or (table in _NAMING and not text_in(row, _NAMING[table])):
                raise LeftOut(f"a row of its {table} has an empty name")
