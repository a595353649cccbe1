"""Import conditions, triggers, variables and clients.

Each function returns the part and notes on differences, or raises LeftOut.
"""

import math
import re
from collections.abc import Mapping

import msgspec

from twite.tags.container.conditions import regex_error
from twite.tags.container.parts import (
    Condition,
    ContainerClient,
    ContainerTrigger,
    LookupRow,
    Operator,
    ReadFields,
    ValueFormat,
    Variable,
    VariableSource,
)
from twite.tags.importer import firestore_lookup
from twite.tags.importer.coverage import (
    BUILT_INS,
    CLIENTS,
    OPERATORS,
    TRIGGERS,
    VARIABLES,
    KnownPart,
    Support,
    known,
)
from twite.tags.importer.reading import (
    ExportPart,
    LeftOut,
    flag_in,
    rows_in,
    spelled,
    text_in,
    value,
    values,
)
from twite.tags.importer.report import holds, unknown_keys, unread
from twite.tags.json_tree import Tree
from twite.tags.template.texts import literal, number_of

_WHOLE = re.compile(r"-?[0-9]{1,15}", re.ASCII)
_HIGHEST = 10**15
_OF_CONDITIONS = frozenset({"arg0", "arg1", "negate", "ignore_case"})
_DEFAULT = frozenset({"setDefaultValue", "defaultValue"})
_OF_VARIABLES: Mapping[VariableSource, frozenset[str]] = {
    VariableSource.CONSTANT: frozenset({"value"}),
    VariableSource.EVENT_DATA: _DEFAULT | {"keyPath"},
    VariableSource.REQUEST_HEADER: _DEFAULT | {"headerName"},
    VariableSource.QUERY_PARAMETER: _DEFAULT | {"queryParamName"},
    VariableSource.COOKIE: _DEFAULT | {"name", "cookieName", "decodeCookie"},
    VariableSource.RANDOM: frozenset({"min", "max"}),
    VariableSource.LOOKUP: _DEFAULT | {"input", "map"},
    VariableSource.REGEX_LOOKUP: _DEFAULT
    | {"input", "map", "ignoreCase", "fullMatch", "replaceAfterMatch"},
}
_OF_ROWS = frozenset({"key", "value"})
GROUP = "TRIGGER_GROUP"
_FILTERS = ("customEventFilter", "filter")
_CASES = {"NONE": "", "LOWERCASE": "lower", "UPPERCASE": "upper"}
_INSTEAD = {
    "convertNullToValue": "null",
    "convertUndefinedToValue": "undefined",
    "convertTrueToValue": "true",
    "convertFalseToValue": "false",
}


def known_or_left_out(table: Mapping[str, KnownPart], word: str) -> KnownPart:
    """Return the table's entry for a type. Raises LeftOut if it is unsupported or unknown."""
    found = known(table, word)
    if found is None:
        raise LeftOut(f"the type {word!r} is not known to Twite")
    if found.fit is Support.LEFT_OUT:
        raise LeftOut(f"{found.shown}: {found.note}")
    return found


def condition(part: ExportPart) -> Condition:
    """Read a condition. Raises LeftOut for an unsupported operator or an unknown key."""
    held = values(part.pieces("parameter"))
    unread("condition", part, narrows=True)
    others = sorted(key for key in set(held) - _OF_CONDITIONS if holds(held[key]))
    if others:
        raise LeftOut(f"a condition has a parameter {others[0]!r}, which is not known to Twite")
    return compared(
        spelled(part.word),
        text_in(held, "arg0"),
        text_in(held, "arg1"),
        negate=flag_in(held, "negate"),
        ignore_case=flag_in(held, "ignore_case"),
    )


def trigger(
    piece: ExportPart, name: str, names: Mapping[str, str], missing: Mapping[str, str]
) -> tuple[ContainerTrigger, list[str]]:
    """Return the trigger. `names` and `missing` name imported and omitted triggers by id."""
    word = spelled(piece.word)
    found = known_or_left_out(TRIGGERS, word)
    all_of = _group(piece, names, missing) if word == GROUP else ()
    if word != GROUP and holds(piece.tree.get("parameter")):
        raise LeftOut("it has a parameter: only triggers of web pages and trigger groups have one")
    when = [condition(part) for key in _FILTERS for part in piece.pieces(key)]
    if word == "SERVER_PAGEVIEW":
        page = Condition(left="{{_event}}", operator=Operator.EQUALS, right="page_view")
        when = [page, *when]
    if word == "CUSTOM_EVENT" and not piece.pieces("customEventFilter"):
        raise LeftOut("its filter names no event, so it would fire for all")
    notes = unread("trigger", piece, narrows=True)
    return ContainerTrigger(name=name, all_of=all_of, when=tuple(when)), _with(found.note, notes)


def group_ids(part: ExportPart) -> list[str]:
    """Return the ids of the triggers that a group lists. Raises LeftOut."""
    held = values(part.pieces("parameter"))
    ids = held.pop("triggerIds", [])
    if any(map(holds, held.values())):
        raise LeftOut(f"it has a parameter {next(iter(held))!r}, which is not known to Twite")
    if not isinstance(ids, list) or not ids or not all(isinstance(id_, str) for id_ in ids):
        raise LeftOut("it lists no triggers")
    return [str(id_) for id_ in ids]


def _group(
    part: ExportPart, names: Mapping[str, str], missing: Mapping[str, str]
) -> tuple[str, ...]:
    ids = group_ids(part)
    for id_ in ids:
        if id_ not in names:
            raise LeftOut(f"it lists the trigger {missing.get(id_, id_)!r}, which is left out")
        if ids.count(id_) > 1:
            # In Google's container, such a group needs the trigger to fire as often as it is
            # listed.
            raise LeftOut(
                f"it lists the trigger {names[id_]!r} more than once, but a trigger matches an "
                "event at most once, so the group never fires"
            )
    return tuple(names[id_] for id_ in ids)


def variable(part: ExportPart, name: str, template: str) -> tuple[Variable, list[str]]:
    found = known_or_left_out(VARIABLES, part.word)
    held = values(part.pieces("parameter"))
    is_lookup = part.word == firestore_lookup.WORD
    if is_lookup:
        made = _template_of(name, template, firestore_lookup.fields_of(held), _default(held))
    else:
        made = _variable(found.source or VariableSource.CONSTANT, name, held, template)
    form = _format(part)
    if form is not None:
        made = msgspec.structs.replace(made, format=form)
    notes = unread("variable", part)
    if is_lookup:
        notes += _unknown_keys(held, firestore_lookup.KNOWN | _DEFAULT)
    elif not template:
        notes += _unknown_keys(held, _OF_VARIABLES.get(made.type, frozenset()))
        notes += [
            f"in its table the column {key!r} is not known to Twite, and is not kept"
            for key in sorted({key for row in rows_in(held, "map") for key in row} - _OF_ROWS)
        ]
    return made, _with(found.note, notes)


def built_in(part: ExportPart, name: str) -> tuple[Variable, list[str]]:
    word = spelled(part.word)
    found = known_or_left_out(BUILT_INS, word)
    made = Variable(name=name, type=found.source or VariableSource.CONSTANT)
    return made, _with(found.note, unread("builtInVariable", part))


def client(part: ExportPart, name: str, template: str) -> tuple[ContainerClient, list[str]]:
    found = known_or_left_out(CLIENTS, part.word)
    held = values(part.pieces("parameter"))
    reads = ReadFields.MEASUREMENT_PROTOCOL if part.word == "mpaw_client" else ReadFields.GA4
    rank, notes = priority(part)
    notes += unread("client", part, narrows=True)
    made = ContainerClient(name=name, reads=reads, priority=rank)
    if template:
        made = msgspec.structs.replace(made, template=template, fields=held, defaults=False)
    elif held:
        lost = ", ".join(held)
        notes.append(f"its settings apply only to Google's client, and are not kept: {lost}")
    return made, _with(found.note, notes)


def priority(part: ExportPart) -> tuple[int, list[str]]:
    held = part.tree.get("priority")
    given = held if not isinstance(held, dict) else value(_inner(part, "priority", held))
    if isinstance(given, str) and _WHOLE.fullmatch(given.strip()):
        return int(given), []
    if isinstance(given, int) and not isinstance(given, bool) and abs(given) < _HIGHEST:
        return given, []
    return 0, ["its priority is not a whole number, and counts as 0"] if holds(held) else []


def _with(note: str, notes: list[str]) -> list[str]:
    return [note, *notes] if note else notes


def _unknown_keys(held: Mapping[str, Tree], known_here: frozenset[str]) -> list[str]:
    return [
        f"its parameter {key!r} is not known to Twite, and is not kept"
        for key, content in held.items()
        if key not in known_here and holds(content)
    ]


def _inner(part: ExportPart, key: str, tree: dict[str, Tree]) -> ExportPart:
    return ExportPart(place=f"{part.place}.{key}", tree=tree)


def compared(
    word: str, left: str, right: str, *, negate: bool = False, ignore_case: bool = False
) -> Condition:
    """Return a condition with an operator of the export. Raises LeftOut if it is unsupported."""
    operator = OPERATORS.get(word)
    if operator is None:
        raise LeftOut(f"a condition uses the operator {word}, which server containers do not have")
    if operator is Operator.MATCHES and literal(right) == right:
        _refuse_no_pattern(right)
    return Condition(
        left=left, operator=operator, right=right, negate=negate, ignore_case=ignore_case
    )


def _refuse_no_pattern(pattern: str) -> None:
    wrong = regex_error(pattern)
    if wrong is not None:
        raise LeftOut(f"{pattern!r} is not a valid RE2 expression ({wrong})")


def _variable(source: VariableSource, name: str, held: dict[str, Tree], template: str) -> Variable:
    default = _default(held)
    match source:
        case VariableSource.CONSTANT:
            return Variable(name=name, type=source, value=held.get("value"))
        case VariableSource.EVENT_DATA:
            key = text_in(held, "keyPath")
        case VariableSource.REQUEST_HEADER:
            key = text_in(held, "headerName")
        case VariableSource.QUERY_PARAMETER:
            key = text_in(held, "queryParamName")
        case VariableSource.COOKIE:
            decode = flag_in(held, "decodeCookie")
            key = text_in(held, "name") or text_in(held, "cookieName")
            return Variable(name=name, type=source, key=_there(key), decode=decode, default=default)
        case VariableSource.LOOKUP | VariableSource.REGEX_LOOKUP:
            return _table(source, name, held, default)
        case VariableSource.TEMPLATE:
            return _template_of(name, template, held, None)
        case _:
            bounds = held if source is VariableSource.RANDOM else {}
            least, most = _bound(bounds.get("min")), _bound(bounds.get("max"))
            return Variable(name=name, type=source, least=least, most=most)
    return Variable(name=name, type=source, key=_there(key), default=default)


def _default(held: dict[str, Tree]) -> Tree:
    return held.get("defaultValue", "") if flag_in(held, "setDefaultValue") else None


def _template_of(name: str, template: str, fields: dict[str, Tree], default: Tree) -> Variable:
    return Variable(
        name=name,
        type=VariableSource.TEMPLATE,
        template=template,
        fields=fields,
        defaults=False,
        default=default,
    )


def _bound(bound: Tree) -> int | float | str | None:
    if isinstance(bound, str):
        is_number = literal(bound) != bound or not math.isnan(number_of(bound))
        return bound.strip() or None if is_number else None
    return None if isinstance(bound, bool) or not isinstance(bound, int | float) else bound


def _there(key: str) -> str:
    if not key:
        raise LeftOut("its key is empty")
    return key


def _table(source: VariableSource, name: str, held: dict[str, Tree], default: Tree) -> Variable:
    rows = tuple(
        LookupRow(key=text_in(row, "key"), value=row.get("value", ""))
        for row in rows_in(held, "map")
    )
    if source is VariableSource.LOOKUP:
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
        # Values that were not saved get the defaults of Google's form. [guess]
        ignore_case=flag_in(held, "ignoreCase"),
        whole=flag_in(held, "fullMatch"),
        captures=flag_in(held, "replaceAfterMatch"),
    )


def _format(part: ExportPart) -> ValueFormat | None:
    tree = part.tree.get("formatValue")
    if not holds(tree):
        return None
    unknown = unknown_keys("formatValue", tree) if isinstance(tree, dict) else ["no object"]
    if not isinstance(tree, dict) or unknown:
        raise LeftOut(f"it formats its value in a way that is not known ({', '.join(unknown)})")
    instead = {}
    for key, word in _INSTEAD.items():
        held = tree.get(key)
        if isinstance(held, dict):
            # If there is no value, the variable is set to undefined in Google's container, and to
            # "" here.
            put = value(_inner(part, f"formatValue.{key}", held))
            instead[word] = put if isinstance(put, str | int | float | bool) else ""
    word = spelled(str(tree.get("caseConversionType") or "NONE"))
    if word not in _CASES:
        raise LeftOut(f"it formats its value in a way that is not known ({word})")
    return ValueFormat(case=_CASES[word], instead=instead) if _CASES[word] or instead else None
