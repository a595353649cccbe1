"""A template's own tests (its section TESTS, YAML), and their results."""

from xml.etree import ElementTree as ET  # only written with, never read

import msgspec
import yaml

from twite.gtm.template.template import TemplatePart, TemplateUnusable

_SECTION = "TESTS"


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario: sandboxed JavaScript that runs the template and asserts."""

    name: str
    code: str


class Scenarios(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; `setup` runs before each, in the same scope."""

    setup: str = ""
    scenarios: tuple[Scenario, ...] = ()


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failed assertion, with the nearest lines of setup, scenario and template.

    Lines count from 1 in their text, None if no call was there.
    """

    message: str
    setup_line: int | None = None
    scenario_line: int | None = None
    template_line: int | None = None


class ScenarioResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one scenario; it passed if nothing failed."""

    name: str
    failures: tuple[Failure, ...] = ()
    logs: tuple[str, ...] = ()


def read_scenarios(part: TemplatePart | None) -> Scenarios:
    """Read the section. Raises TemplateUnusable."""
    if part is None or not part.text.strip():
        return Scenarios()
    try:
        found = msgspec.convert(yaml.safe_load(part.text) or {}, _Section, strict=False)
    except yaml.MarkedYAMLError as error:
        line = part.line + (error.problem_mark.line if error.problem_mark else 0)
        message = f"not YAML: {error.problem}"
        raise TemplateUnusable(section=_SECTION, line=line, message=message) from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise TemplateUnusable(section=_SECTION, line=part.line, message=str(error)) from None
    return Scenarios(
        setup=found.setup or "",
        scenarios=tuple(
            Scenario(name=str(scenario.name or ""), code=scenario.code or "")
            for scenario in found.scenarios or ()
        ),
    )


def junit(suite: str, verdicts: tuple[ScenarioResult, ...]) -> bytes:
    """Return JUnit's XML, as CI systems read it."""
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
    """Return the place of a failure, for a person."""
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
