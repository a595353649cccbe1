"""Parse a `.tpl` file, and its own tests.

A file consists of sections in any order, each after a line `___NAME___`; most sections are
optional. The texts in the JSON sections are escaped as in JavaScript, which JSON decodes.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from twite.domain.errors import OperatorError
from twite.tags.json_tree import Tree, WrongShape, as_list, as_mapping, as_text
from twite.tags.template.fields import Field, read_fields, shown_text, unreadable_texts
from twite.tags.template.permissions import Grant, policy, read_grants

Value = TypeVar("Value")
_TERMS: Final = "TERMS_OF_SERVICE"  # has no effect, and occurs twice in some templates
_LAST_COMMA: Final = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[]}])')
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_HEAD: Final = re.compile(r"^___([A-Z0-9_]+)___[ \t]*$")
_BYTE: Final = re.compile(r" ?\(byte (\d+)\)")


class TemplateKind(StrEnum):
    TAG = "TAG"
    VARIABLE = "MACRO"
    CLIENT = "CLIENT"


class TemplateUnusable(OperatorError):
    """A template cannot be read or run. `section` may be ""; `line` counts from 1 in the file."""

    def __init__(self, section: str, line: int, message: str) -> None:
        super().__init__(f"line {line}: {f'{section}: ' if section else ''}{message}")
        self.section = section
        self.line = line
        self.message = message


class TemplatePart(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    line: int


class TemplateWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A deviation from Google's file format, on `line`, that does not affect runs."""

    message: str
    line: int


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A server-side template. `code` is a function body with `require` and `data` in scope."""

    kind: TemplateKind
    id: str
    name: str
    description: str
    fields: tuple[Field, ...]
    code: TemplatePart
    grants: tuple[Grant, ...]
    tests: TemplatePart | None
    notes: str
    warnings: tuple[TemplateWarning, ...] = ()


def read_template(content: bytes) -> Template:
    """Read a file's bytes. Raises TemplateUnusable."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TemplateUnusable("", line, "the file is not UTF-8") from None
    parts = split(text)
    refuse_web(parts)
    about = _about(parts)
    return Template(
        kind=_kind(about, parts["INFO"]),
        id=str(about.get("id", "")),
        name=shown_text(about.get("displayName")),
        description=shown_text(about.get("description")),
        fields=_read(parts, "TEMPLATE_PARAMETERS", read_fields),
        code=_section(parts, "SANDBOXED_JS_FOR_SERVER"),
        grants=_read(parts, "SERVER_PERMISSIONS", _grants),
        tests=parts.get("TESTS"),
        notes=parts["NOTES"].text.strip() if "NOTES" in parts else "",
        warnings=tuple(_warnings(parts)),
    )


def _grants(tree: Tree) -> tuple[Grant, ...]:
    """Read SERVER_PERMISSIONS, and check that a policy can be built. Raises WrongShape."""
    grants = read_grants(tree)
    policy(grants)
    return grants


def split(text: str) -> Mapping[str, TemplatePart]:
    """Return the sections by name.

    Raises TemplateUnusable for a duplicate section, or none at all.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    heads = [(at, found[1]) for at, line in enumerate(lines) if (found := _HEAD.match(line))]
    if not heads:
        raise TemplateUnusable("", 1, "no section: this is not a tag template (.tpl)")
    parts: dict[str, TemplatePart] = {}
    for (at, name), end in zip(heads, [*(at for at, _ in heads[1:]), len(lines)], strict=True):
        if name in parts and name != _TERMS:
            raise TemplateUnusable(name, at + 1, "the section occurs twice")
        parts[name] = TemplatePart(text="\n".join(lines[at + 1 : end]), line=at + 2)
    return parts


def refuse_web(parts: Mapping[str, TemplatePart]) -> None:
    """Raise TemplateUnusable if the template is made for browsers."""
    for name in ("SANDBOXED_JS_FOR_WEB_TEMPLATE", "WEB_PERMISSIONS"):
        if name in parts:
            raise _is_web(name, parts[name].line - 1, _called(parts))


def _is_web(section: str, line: int, called: str) -> TemplateUnusable:
    message = f"{called} is a web template: it runs in a browser, not in a server container"
    return TemplateUnusable(section, line, message)


def _called(parts: Mapping[str, TemplatePart]) -> str:
    try:
        return f"“{_about(parts).get('displayName')}”"
    except TemplateUnusable:
        return "this"


def _about(parts: Mapping[str, TemplatePart]) -> Mapping[str, Tree]:
    _section(parts, "INFO")
    return _read(parts, "INFO", as_mapping)


def _kind(about: Mapping[str, Tree], part: TemplatePart) -> TemplateKind:
    contexts = about.get("containerContexts")
    try:
        if contexts is not None and "SERVER" not in map(as_text, as_list(contexts)):
            raise _is_web("INFO", part.line, f"“{about.get('displayName')}”")
        return TemplateKind(as_text(about.get("type")))
    except (ValueError, WrongShape):
        raise TemplateUnusable(
            "INFO", part.line, f"type must be one of {', '.join(TemplateKind)}"
        ) from None


def _section(parts: Mapping[str, TemplatePart], name: str) -> TemplatePart:
    if name not in parts:
        raise TemplateUnusable(name, 1, "the section is missing")
    return parts[name]


def _read(parts: Mapping[str, TemplatePart], name: str, read: Callable[[Tree], Value]) -> Value:
    part = parts.get(name)
    if part is None or not part.text.strip():
        return read([])
    try:
        return read(_decoded(part.text))
    except msgspec.DecodeError as error:
        found = _BYTE.search(str(error))
        at = part.text.encode()[: int(found[1])].count(b"\n") if found else 0
        message = f"not JSON: {_BYTE.sub('', str(error)).strip()}"
        raise TemplateUnusable(name, part.line + at, message) from None
    except WrongShape as error:
        raise TemplateUnusable(name, part.line, str(error)) from None


def _decoded(text: str) -> Tree:
    """Read JSON with trailing commas and raw line breaks, as in templates of the public gallery.

    Raises msgspec.DecodeError.
    """
    try:
        decoded: Tree = msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        # A removed comma is replaced by a space, so that offsets stay valid.
        without = _LAST_COMMA.sub(lambda found: found[1] or " ", text)
        try:
            decoded = msgspec.json.decode(without.encode())
        except msgspec.DecodeError as error:
            try:
                decoded = msgspec.json.decode(_escaped(without).encode())
            except msgspec.DecodeError:
                raise error from None  # its position refers to the file
    return decoded


def _escaped(text: str) -> str:
    """Escape raw control characters within strings."""
    return _STRING.sub(lambda found: _CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", found[0]), text)


def _warnings(parts: Mapping[str, TemplatePart]) -> Iterator[TemplateWarning]:
    for name in ("INFO", "TEMPLATE_PARAMETERS", "SERVER_PERMISSIONS"):
        part = parts.get(name, TemplatePart(text="", line=1))
        for quoted in _STRING.finditer(part.text):
            found = _CONTROL.search(quoted[0])
            if found is not None:
                line = part.line + part.text[: quoted.start() + found.start()].count("\n")
                message = f"{name}: a text contains a line break or control character without `\\`"
                yield TemplateWarning(message=message, line=line)
    if "TEMPLATE_PARAMETERS" in parts:
        part = parts["TEMPLATE_PARAMETERS"]
        for text in _read(parts, "TEMPLATE_PARAMETERS", lambda tree: tuple(unreadable_texts(tree))):
            message = f"TEMPLATE_PARAMETERS: {text} is neither a text nor an object with a text"
            yield TemplateWarning(message=message, line=part.line)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    code: str


class Scenarios(msgspec.Struct, frozen=True, kw_only=True):
    setup: str = ""
    scenarios: tuple[Scenario, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed assertion, with the innermost line of the setup, the scenario and the template.

    Lines count from 1 in each of these texts. A line is None if no call is in that text.
    """

    message: str
    setup_line: int | None = None
    scenario_line: int | None = None
    template_line: int | None = None


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    failures: tuple[Failure, ...] = ()
    logs: tuple[str, ...] = ()


def read_scenarios(part: TemplatePart | None) -> Scenarios:
    """Read the section. Raises TemplateUnusable."""
    if part is None or not part.text.strip():
        return Scenarios()
    import yaml  # noqa: PLC0415  # only scenarios need it

    try:
        found = msgspec.convert(yaml.safe_load(part.text) or {}, _Section, strict=False)
    except yaml.MarkedYAMLError as error:
        line = part.line + (error.problem_mark.line if error.problem_mark else 0)
        raise TemplateUnusable("TESTS", line, f"not YAML: {error.problem}") from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise TemplateUnusable("TESTS", part.line, str(error)) from None
    return Scenarios(
        setup=found.setup or "",
        scenarios=tuple(
            Scenario(name=str(scenario.name or ""), code=scenario.code or "")
            for scenario in found.scenarios or ()
        ),
    )


def junit(suite: str, verdicts: tuple[ScenarioResult, ...]) -> bytes:
    # Only written, never read; few commands need it.
    from xml.etree import ElementTree as ET  # noqa: PLC0415

    failed = sum(bool(verdict.failures) for verdict in verdicts)
    root = ET.Element(
        "testsuite",
        name=suite,
        tests=str(len(verdicts)),
        failures=str(failed),
        errors="0",
        skipped="0",
    )
    for verdict in verdicts:
        case = ET.SubElement(root, "testcase", classname=suite, name=verdict.name)
        for failure in verdict.failures:
            element = ET.SubElement(case, "failure", message=printable(failure.message))
            element.text = printable(placed(failure))
        if verdict.logs:
            ET.SubElement(case, "system-out").text = printable("\n".join(verdict.logs))
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def placed(failure: Failure) -> str:
    places = {
        "setup": failure.setup_line,
        "scenario": failure.scenario_line,
        "template": failure.template_line,
    }
    return ", ".join(f"{name} line {line}" for name, line in places.items() if line is not None)


def printable(text: str) -> str:
    """Remove characters that XML 1.0 cannot contain."""
    return "".join(c if c in "\t\n" or c.isprintable() else "\ufffd" for c in text)


class _Entry(msgspec.Struct):
    name: str | int | float | None = None  # YAML reads 1 as a number
    code: str | None = None


class _Section(msgspec.Struct):
    scenarios: list[_Entry] | None = None
    setup: str | None = None
