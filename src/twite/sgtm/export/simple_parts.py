"""Conditions, triggers, variables, clients and transformations of the export → ours.

Each function returns the part and notes on what differs, or raises LeftOut.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from twite.sgtm.container import expressions
from twite.sgtm.container.parts import (
    Client,
    Condition,
    Format,
    Operator,
    Reads,
    Row,
    Source,
    Transformation,
    Trigger,
    Variable,
)
from twite.sgtm.container.references import literal
from twite.sgtm.export.coverage import (
    BUILT_INS,
    CLIENTS,
    OPERATORS,
    TRANSFORMATIONS,
    TRIGGERS,
    VARIABLES,
    Fit,
    Known,
    known,
)
from twite.sgtm.export.lines import LeftOut
from twite.sgtm.export.parameters import flag_in, rows_in, text_in, value, values
from twite.sgtm.export.reading import Piece, spelled
from twite.sgtm.tree import Tree


def known_or_left_out(table: Mapping[str, Known], word: str) -> Known:
    """Return what the table says. Raises LeftOut for what it leaves out, or does not know."""
    found = known(table, word)
    if found is None:
        raise LeftOut(f"the type {word!r} is not known to Twite")
    if found.fit is Fit.LEFT_OUT:
        raise LeftOut(f"{found.shown}: {found.note}")
    return found


def condition(piece: Piece) -> Condition:
    """Read one. Raises LeftOut for an operator that is none here."""
    held = values(piece.pieces("parameter"))
    return _condition(
        spelled(piece.word),
        text_in(held, "arg0"),
        text_in(held, "arg1"),
        negate=flag_in(held, "negate"),
        ignore_case=flag_in(held, "ignore_case"),
    )


def trigger(piece: Piece, name: str) -> tuple[Trigger, list[str]]:
    """Read one: the filter on the event's name, and the others."""
    word = spelled(piece.word)
    found = known_or_left_out(TRIGGERS, word)
    when = [condition(one) for key in _FILTERS for one in piece.pieces(key)]
    if word == "SERVER_PAGEVIEW":
        page = Condition(left="{{_event}}", operator=Operator.EQUALS, right="page_view")
        when = [page, *when]
    if word == "CUSTOM_EVENT" and not piece.pieces("customEventFilter"):
        raise LeftOut("it does not say for which events, and would fire for all")
    if piece.pieces("autoEventFilter"):
        raise LeftOut("it has an autoEventFilter, which belongs to web containers")
    return Trigger(name=name, when=tuple(when)), [found.note] if found.note else []


def variable(piece: Piece, name: str, template: str) -> tuple[Variable, list[str]]:
    """Read one; `template` is the name of its template, where it has one."""
    found = known_or_left_out(VARIABLES, piece.word)
    held = values(piece.pieces("parameter"))
    made = _variable(found.source or Source.CONSTANT, name, held, template)
    form = _format(piece)
    if form is not None:
        made = msgspec.structs.replace(made, format=form)
    for key in ("enablingTriggerId", "disablingTriggerId"):
        if piece.texts(key):
            raise LeftOut(f"it is switched by triggers ({key}), which servers do not do")
    return made, [found.note] if found.note else []


def built_in(piece: Piece, name: str) -> tuple[Variable, list[str]]:
    """Read a built-in variable that is switched on."""
    word = spelled(piece.word)
    found = known_or_left_out(BUILT_INS, word)
    made = Variable(name=name, type=found.source or Source.CONSTANT)
    return made, [found.note] if found.note else []


def client(piece: Piece, name: str, template: str) -> tuple[Client, list[str]]:
    """Read one."""
    found = known_or_left_out(CLIENTS, piece.word)
    held = values(piece.pieces("parameter"))
    reads = Reads.MEASUREMENT_PROTOCOL if piece.word == "mpaw_client" else Reads.GA4
    made = Client(name=name, reads=reads, priority=priority(piece))
    if template:
        made = msgspec.structs.replace(made, template=template, fields=held, defaults=False)
    return made, [found.note] if found.note else []


def transformation(
    piece: Piece, name: str, *, tags: Mapping[str, str], templates: Mapping[str, str]
) -> tuple[Transformation, list[str]]:
    """Read one; `tags` and `templates` are ours by the export's name or type."""
    known_or_left_out(TRANSFORMATIONS, piece.word)
    held = values(piece.pieces("parameter"))
    named = [text_in(row, "tagReference") for row in rows_in(held, "affectedTags")]
    types = rows_in(held, "affectedTagTypes")
    if any(rows_in(row, "tagTypeExceptions") for row in types):
        raise LeftOut("it has exceptions of a kind of tag (tagTypeExceptions): name the tags")
    words = [text_in(row, "tagType") for row in types]
    others = flag_in(held, "allTagsExcept")
    # Whom it names and who is not here needs nothing of it.
    for_tags = tuple(tags[one] for one in named if one in tags)
    for_templates = tuple(templates[one] for one in words if one in templates)
    if (named or words) and not (for_tags or for_templates) and not others:
        raise LeftOut("the tags that it is for are not here")
    change = Transformation(
        name=name,
        when=_matching(held),
        exclude=_names(held, "excludedParamsTable", "excludedParams"),
        allow=_names(held, "allowedParamsTable", "allowedParams"),
        set={
            text_in(row, "paramName"): row.get("paramValue", "")
            for row in rows_in(held, "augmentEventTable")
            if text_in(row, "paramName")
        },
        tags=for_tags,
        templates=for_templates,
        others=others,
    )
    if not (change.exclude or change.allow or change.set):
        raise LeftOut("its table is empty")
    return change, []


def concerned(
    piece: Piece, *, tags: Mapping[str, str], templates: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the tags that a transformation may be for; `tags` maps names to their templates."""
    held = values(piece.pieces("parameter"))
    named = {text_in(row, "tagReference") for row in rows_in(held, "affectedTags")}
    words = [text_in(row, "tagType") for row in rows_in(held, "affectedTagTypes")]
    used = {templates.get(word, "") for word in words}
    if not named and not words:
        return tuple(tags)
    others = flag_in(held, "allTagsExcept")
    return tuple(
        name for name, used_by in tags.items() if (name in named or used_by in used) is not others
    )


def priority(piece: Piece) -> int:
    """Return a priority: a parameter, or a plain number."""
    held = piece.tree.get("priority")
    told = held if not isinstance(held, dict) else value(_inner(piece, "priority", held))
    if isinstance(told, str) and _WHOLE.fullmatch(told.strip()):
        return int(told)
    return told if isinstance(told, int) and not isinstance(told, bool) else 0


def _inner(piece: Piece, key: str, tree: dict[str, Tree]) -> Piece:
    return Piece(place=f"{piece.place}.{key}", tree=tree)


def _condition(
    word: str, left: str, right: str, *, negate: bool = False, ignore_case: bool = False
) -> Condition:
    operator = OPERATORS.get(word)
    if operator is None:
        raise LeftOut(f"a condition compares by {word}, which servers do not do")
    if operator is Operator.MATCHES and literal(right) == right:
        _refuse_no_pattern(right)
    return Condition(
        left=left, operator=operator, right=right, negate=negate, ignore_case=ignore_case
    )


def _refuse_no_pattern(pattern: str) -> None:
    wrong = expressions.wrong_with(pattern)
    if wrong is not None:
        raise LeftOut(f"{pattern!r} is no regular expression of RE2 ({wrong})")


def _variable(source: Source, name: str, held: dict[str, Tree], template: str) -> Variable:
    default = held.get("defaultValue", "") if flag_in(held, "setDefaultValue") else None
    match source:
        case Source.CONSTANT:
            return Variable(name=name, type=source, value=held.get("value"))
        case Source.EVENT_DATA:
            key = text_in(held, "keyPath")
        case Source.REQUEST_HEADER:
            key = text_in(held, "headerName")
        case Source.COOKIE:
            decode = flag_in(held, "decodeCookie")
            key = text_in(held, "name") or text_in(held, "cookieName")
            return Variable(name=name, type=source, key=_there(key), decode=decode, default=default)
        case Source.LOOKUP | Source.REGEX_LOOKUP:
            return _table(source, name, held, default)
        case Source.TEMPLATE:
            return Variable(name=name, type=source, template=template, fields=held, defaults=False)
        case _:
            return Variable(name=name, type=source)
    return Variable(name=name, type=source, key=_there(key), default=default)


def _there(key: str) -> str:
    if not key:
        raise LeftOut("it does not say what it reads")
    return key


def _table(source: Source, name: str, held: dict[str, Tree], default: Tree) -> Variable:
    rows = tuple(
        Row(key=text_in(row, "key"), value=row.get("value", "")) for row in rows_in(held, "map")
    )
    if source is Source.LOOKUP:
        return Variable(
            name=name, type=source, input=_there(text_in(held, "input")), rows=rows, default=default
        )
    for row in rows:
        if literal(row.key) == row.key:
            _refuse_no_pattern(row.key)
    return Variable(
        name=name,
        type=source,
        input=_there(text_in(held, "input")),
        rows=rows,
        default=default,
        # As the form shows them where nothing was saved. [guess]
        ignore_case=flag_in(held, "ignoreCase"),
        whole=flag_in(held, "fullMatch"),
        captures=flag_in(held, "replaceAfterMatch"),
    )


def _format(piece: Piece) -> Format | None:
    tree = piece.tree.get("formatValue")
    if not isinstance(tree, dict) or not tree:
        return None
    instead = {}
    for key, word in _INSTEAD.items():
        held = tree.get(key)
        if isinstance(held, dict):
            # Without a value: undefined is put, which is no value here.
            put = value(_inner(piece, f"formatValue.{key}", held))
            instead[word] = put if isinstance(put, str | int | float | bool) else ""
    case = _CASES.get(spelled(str(tree.get("caseConversionType", ""))), "")
    strange = set(tree) - {*_INSTEAD, "caseConversionType"}
    if strange:
        raise LeftOut(f"it formats its value in a way that is not known ({', '.join(strange)})")
    return Format(case=case, instead=instead) if case or instead else None


def _matching(held: dict[str, Tree]) -> tuple[Condition, ...]:
    if not flag_in(held, "matchingConditionsEnabled"):
        return ()
    if text_in(held, "booleanExpressionString"):
        raise LeftOut("its conditions are joined by an expression (booleanExpressionString)")
    found = []
    for row in rows_in(held, "matchingConditionsTable"):
        word = spelled(text_in(row, "expressionType"))
        negate = word.startswith(("NOT_", "DOES_NOT_"))
        word = word.removeprefix("DOES_").removeprefix("NOT_")
        left = text_in(row, "variableReference") or f"{{{{{text_in(row, 'variableName')}}}}}"
        right = text_in(row, "expressionValue")
        found.append(_condition(_SHORT.get(word, word), left, right, negate=negate))
    return tuple(found)


def _names(held: dict[str, Tree], table: str, column: str) -> tuple[str, ...]:
    names: Sequence[str] = [text_in(row, column) for row in rows_in(held, table)]
    return tuple(one for one in names if one)


_WHOLE = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_FILTERS = ("customEventFilter", "filter")
_CASES = {"LOWERCASE": "lower", "UPPERCASE": "upper"}
_SHORT = {"EQUAL": "EQUALS", "CONTAIN": "CONTAINS", "START_WITH": "STARTS_WITH"} | {
    "END_WITH": "ENDS_WITH",
    "MATCHES_REGEX": "MATCH_REGEX",
}
_INSTEAD = {
    "convertNullToValue": "null",
    "convertUndefinedToValue": "undefined",
    "convertTrueToValue": "true",
    "convertFalseToValue": "false",
}
