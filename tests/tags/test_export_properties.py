"""Properties of imports: every part is reported, and no secret is written without a report."""

import json
import random
import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from any_export import AnyExport, any_secret, template_text
from twite.tags.container.parts import ContainerUnusable
from twite.tags.container.toml_file import container_text
from twite.tags.importer.coverage import Support
from twite.tags.importer.importing import imported
from twite.tags.importer.reading import read_export
from twite.tags.importer.secrets_out import sealed_name

OURS = {"customTemplate": "template", "builtInVariable": "variable"}
SEEDS = st.integers(0, 2**48)


def import_of(tree):
    export = read_export(json.dumps(tree).encode())
    return imported(export, place_of=lambda place: f"sealed:{sealed_name(place, folder='out')}")


def exported_name(name):
    """Return the name in the export: if two parts have the same name, the import renames one."""
    return re.sub(r"( \(\d+\))+$", "", name)


def parts_of(tree):
    """(kind, name) of every part in the export."""
    return Counter(
        (OURS.get(key, key), part.get("name", ""))
        for key, held in tree["containerVersion"].items()
        if isinstance(held, list)
        for part in held
    )


@given(seed=SEEDS)
def test_report_contains_every_part_of_an_export_once(seed):
    tree = AnyExport(random.Random(seed)).whole()

    lines = import_of(tree).lines

    reported = Counter(
        (line.kind, exported_name(line.name)) for line in lines if line.kind != "notes"
    )
    assert reported == parts_of(tree)


@given(seed=SEEDS)
def test_part_that_differs_has_a_reason(seed):
    lines = import_of(AnyExport(random.Random(seed)).whole()).lines

    silent = {line.fit for line in lines if not line.notes}
    assert silent <= {Support.RUNS, Support.RESTS}


def places_in(tree):
    """Yield (container, key) of every text below."""
    for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(part, str):
            yield tree, key
        elif isinstance(part, dict | list):
            yield from places_in(part)


def insert_secret(randomness, tree, text):
    """Insert a text somewhere into the export."""
    whole, key = randomness.choice(list(places_in(tree["containerVersion"])))
    if key == "templateData":
        where = randomness.choice(["default", "code", "notes"])
        code = f"const a = {json.dumps(text)};\ndata.gtmOnSuccess();\n"
        whole[key] = template_text("TAG", **{where: code if where == "code" else text})
        return
    name = "{{_event}}"
    whole[key] = randomness.choice(
        [text, f"{text}{name}", f"{name} {text}", f"{whole[key]} {text}"]
    )


@given(seed=SEEDS)
def test_no_file_contains_a_secret_that_is_not_reported(seed):
    randomness = random.Random(seed)
    tree = AnyExport(randomness).whole()
    text, secret = any_secret(randomness)
    insert_secret(randomness, tree, text)

    try:
        found = import_of(tree)
    except ContainerUnusable:
        return  # nothing is written

    of_templates = {place.name for place in found.in_plain_text if place.path != "name"}
    unsaid = [
        name for name, part in found.texts.items() if secret in part and name not in of_templates
    ]
    in_parts = [
        place for place in found.in_plain_text if place.kind != "template" or place.path == "name"
    ]
    if secret in container_text(found.container, []) and not in_parts:
        unsaid.append("container.toml")
    assert unsaid == []
    assert secret not in repr((found.lines, found.in_plain_text, found.secrets))
