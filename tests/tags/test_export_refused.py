"""Malformed exports."""

import json
import random

import pytest
from export_parts import (
    SHOP,
    export,
    import_of,
    tag,
    text,
    variable,
)

from twite.tags.container.parts import (
    ContainerUnusable,
)
from twite.tags.container.toml_file import container_of_toml, container_text
from twite.tags.importer.reading import LARGEST, read_export


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[]", "an object was expected, not an array"),
        (b"{}", "is not a container export"),
        (json.dumps(export() | {"exportFormatVersion": 3}).encode(), "only version 2 is supported"),
        (
            json.dumps({"exportFormatVersion": 2, "containerVersion": 1}).encode(),
            "containerVersion: an object was expected, not a number",
        ),
        (json.dumps(export(tag={})).encode(), "tag: an array was expected, not an object"),
        (json.dumps(export(tag=["x"])).encode(), r"tag\[0\]: an object was expected"),
        (
            json.dumps(export(tag=[{}] * 10_001)).encode(),
            "tag: has 10001 parts; the limit is 10000",
        ),
        (
            json.dumps(export(container={"usageContext": ["WEB"]})).encode(),
            "this is a container for WEB; Twite runs server containers",
        ),
    ],
)
def test_file_that_is_not_an_export_is_refused(made, said):
    with pytest.raises(ContainerUnusable, match=said):
        read_export(made)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"name": 1}, r"tag\[0\].name: a string was expected, not a number"),
        ({"parameter": {}}, r"tag\[0\].parameter: an array was expected"),
        ({"parameter": [1]}, r"tag\[0\].parameter\[0\]: an object was expected"),
        ({"parameter": [{"type": "ODD", "key": "a", "value": "b"}]}, "the type 'ODD'"),
        (
            {"parameter": [{"type": "INTEGER", "key": "a", "value": "9" * 40}]},
            "an INTEGER was expected",
        ),
        ({"firingTriggerId": "1"}, r"tag\[0\].firingTriggerId: an array was expected"),
        ({"firingTriggerId": [[]]}, r"tag\[0\].firingTriggerId: a string was expected"),
    ],
)
def test_malformed_part_of_an_export_is_refused_with_its_path(part, said):
    with pytest.raises(ContainerUnusable, match=said):
        import_of(tag=[tag() | part])


def test_deeply_nested_parameter_of_an_export_is_refused():
    deep = text("a", "b")
    for _ in range(100):
        deep = {"type": "LIST", "key": "a", "list": [deep]}

    with pytest.raises(ContainerUnusable, match="nested too deep"):
        import_of(tag=[tag("Tag", "cvt_190000001_1", deep)])


def test_export_over_the_size_limit_is_refused_before_it_is_read():
    with pytest.raises(ContainerUnusable, match="is larger than 32 MiB"):
        read_export(bytes(LARGEST + 1))


def test_variables_that_refer_to_each_other_are_refused_by_name():
    ring = [variable("A", "c", text("value", "{{B}}")), variable("B", "c", text("value", "{{A}}"))]

    with pytest.raises(ContainerUnusable, match="A → B → A"):
        import_of(variable=ring)


def places_in(tree):
    """Yield (container, key) of everything below."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places_in(value)


@pytest.mark.parametrize("seed", range(8))
def test_damaged_export_is_refused_or_its_container_can_be_written(seed):
    randomness = random.Random(seed)
    spoilt = [None, True, 0, -1, 1e308, "", "x", "{{}}", "{{Dice}}", "\x00", [], {}, [[]], {"a": 1}]
    for _ in range(10):
        tree = json.loads(SHOP.read_text())
        for _ in range(randomness.randint(1, 6)):
            whole, key = randomness.choice(list(places_in(tree["containerVersion"])))
            whole[key] = randomness.choice(spoilt)

        try:
            found = import_of(tree).container
        except ContainerUnusable:
            continue
        again, _ = container_of_toml(container_text(found, []))

        assert (again.tags, again.variables) == (found.tags, found.variables)
