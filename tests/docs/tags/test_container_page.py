"""The page on container.toml names every key, and every part of an export that an import knows."""

import re
from pathlib import Path

import pytest

from twite.tags.container import parts
from twite.tags.container.toml_file import TemplateFile, container_of_toml
from twite.tags.importer import coverage
from twite.tags.importer.documented import RESOURCES, KeyTreatment
from twite.tags.importer.reading import KINDS

PAGE = (Path(__file__).parents[3] / "docs/reference/container.md").read_text()
TABLES = {
    "Tags": coverage.TAGS,
    "Triggers": coverage.TRIGGERS,
    "Variables": coverage.VARIABLES,
    "Built-in variables": coverage.BUILT_INS,
    "Clients": coverage.CLIENTS,
    "Transformations": coverage.TRANSFORMATIONS,
}
STRUCTS = {
    "template": TemplateFile,
    "client": parts.ContainerClient,
    "variable": parts.Variable,
    "trigger": parts.ContainerTrigger,
    "tag": parts.ContainerTag,
    "transformation": parts.Transformation,
}


def section(name):
    return PAGE.split(f"### {name}\n")[1].split("\n### ")[0]


# Lists of types that share one treatment.
LISTS = (
    ("Runs as in Google's container", "runs", ""),
    ("belong to web containers", "left out", "supported only in web containers"),
    (
        "so keep them in Google's container",
        "left out",
        "the export does not contain its code: keep it in Google's container",
    ),
)


@pytest.mark.parametrize("name", TABLES)
def test_every_kind_of_part_in_an_export_is_documented(name):
    line = r"^\| `(\w+)…?` \| (.+?) \| (.+?) \| ?(.*?) ?\|$"
    found = re.findall(line, section(name), re.MULTILINE)
    for heading, fit, note in LISTS:
        listed = re.search(rf"{heading}: (.+?)\.\s*(?:\n\n|\Z)", section(name), re.DOTALL)
        found += [
            (word, " ".join(shown.split()), fit, note)
            for word, shown in re.findall(
                r"`(\w+)…?`\s([^`]+?)(?:,\s(?=`)|$)", listed[1] if listed else ""
            )
        ]

    assert sorted(found) == sorted(
        (word, row.shown, str(row.fit), row.note) for word, row in TABLES[name].items()
    )


def test_every_operator_of_a_trigger_is_documented():
    found = re.findall(r"^\| `(\w+)` \| `?(.+?)`? \|$", section("Operators"), re.MULTILINE)

    assert found == [
        (word, str(operator) if operator else "left out")
        for word, operator in coverage.OPERATORS.items()
    ]


def test_every_key_of_a_table_is_documented():
    table = PAGE.split("## Tables and keys")[1].split("\n## ")[0]
    named: dict[str, set[str]] = {}
    at = ""
    for head, keys in re.findall(r"^\| (?:`\[\[(\w+)\]\]`)? ?\| (`.+?) \|", table, re.MULTILINE):
        at = head or at  # only the first row of each name gives it
        named.setdefault(at, set()).update(re.findall(r"`(\w+)`", keys))

    assert named == {name: set(struct.__struct_fields__) for name, struct in STRUCTS.items()}


def test_container_of_the_documentation_is_valid():
    container, files = container_of_toml(PAGE.split("```toml\n")[1].split("```")[0])

    assert [tag.name for tag in container.tags] == ["Post purchases"]
    assert files == (TemplateFile(name="Poster", file="templates/poster.tpl"),)


def test_every_source_of_a_variable_is_documented():
    sources = PAGE.split("## Sources of variables")[1].split("\n## ")[0]

    assert re.findall(r"`(\w+)`", sources) == [str(kind) for kind in parts.VariableSource]


def test_every_key_of_an_export_is_documented_with_its_treatment():
    """The import treats all keys of a row alike. Only keys that are not imported need a reason."""
    rows = re.findall(
        r"^\| (?:`(\w+)`|all parts) \| (`.+?) \| (.+?) \| ?(.*?) ?\|$",
        PAGE.split("### Keys\n")[1],
        re.MULTILINE,
    )
    found = {
        (part, key): (treatment, why)
        for part, keys, treatment, why in rows
        for key in re.findall(r"`(\w+)`", keys)
    }

    in_all_parts = {key: row for (part, key), row in found.items() if not part}
    expected = {
        (name, key): (str(row.treatment), row.reason)
        for name, resource in RESOURCES.items()
        for key, row in resource.items()
    }

    assert in_all_parts.keys() <= RESOURCES["tag"].keys()
    assert {key: row for key, row in found.items() if key[0]} == {
        key: row for key, row in expected.items() if row != in_all_parts.get(key[1])
    }


def test_documented_parts_are_those_that_an_import_knows():
    parts_of_a_version = {
        key
        for key, row in RESOURCES["containerVersion"].items()
        if row.treatment is KeyTreatment.DONE
    } - {"containerVersionId", "name"}

    assert parts_of_a_version == {*KINDS, "container"}
    assert parts_of_a_version < set(RESOURCES)
