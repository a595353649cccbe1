"""Short builders of exports for tests."""

import json
from pathlib import Path

from twite.tags.importer.importing import imported
from twite.tags.importer.reading import read_export

SHOP = Path(__file__).parents[0] / "containers/shop.json"
CONTAINER = "190000001"
HEAD = (
    '___INFO___\n{"type": "%s", "id": "%s", "displayName": "T", "containerContexts": ["SERVER"]}\n'
)
CODE = "___SANDBOXED_JS_FOR_SERVER___\nreturn 1;\n"


def tpl(kind="TAG", word="cvt_temp_public_id", fields=()):
    parameters = f"___TEMPLATE_PARAMETERS___\n{json.dumps(list(fields))}\n"
    return HEAD % (kind, word) + parameters + CODE


def template(number, kind="TAG", **more):
    return {"templateId": str(number), "name": f"T{number}", "templateData": tpl(kind, **more)}


def text(key, value=None):
    return {"type": "TEMPLATE", "key": key, **({} if value is None else {"value": value})}


def boolean(key, value):
    return {"type": "BOOLEAN", "key": key, "value": value}


def table(key, *rows):
    listed = [{"type": "MAP", "map": [text(*pair) for pair in row.items()]} for row in rows]
    return {"type": "LIST", "key": key, "list": listed}


def tag(name="Tag", word=f"cvt_{CONTAINER}_1", *parameters, fires=("2147479574",), **more):
    return {
        "tagId": "9",
        "name": name,
        "type": word,
        "parameter": list(parameters),
        "firingTriggerId": list(fires),
        "tagFiringOption": "ONCE_PER_EVENT",
        **more,
    }


def export(*, templates=None, **parts):
    """Return an export's JSON; parts by the keys of the export, such as `tag=[…]`."""
    version = {
        "containerId": CONTAINER,
        "containerVersionId": "3",
        "container": {"publicId": "GTM-TEST", "name": "Test", "usageContext": ["SERVER"]},
        "customTemplate": [template(1)] if templates is None else templates,
        **parts,
    }
    return {"exportFormatVersion": 2, "containerVersion": version}


def import_of(made=None, *, named=(), **parts):
    """Import it; return the result."""
    whole = export(**parts) if made is None else made
    return imported(
        read_export(json.dumps(whole).encode()),
        named=frozenset(named),
        place_of=lambda place: f"env:{place}",
    )


def result_of(found, kind, name):
    """Return (result, reason) for a part."""
    (line,) = [line for line in found.lines if (line.kind, line.name) == (kind, name)]
    return str(line.fit), "; ".join(line.notes)


def variable(name="V", word="c", *parameters, **more):
    return {"variableId": "7", "name": name, "type": word, "parameter": list(parameters), **more}


def trigger(name="P", word="CUSTOM_EVENT", *conditions, **more):
    if word == "CUSTOM_EVENT":
        bought = condition("EQUALS", text("arg0", "{{_event}}"), text("arg1", "buy"))
        more = {"customEventFilter": [bought], **more}
    return {"triggerId": "5", "name": name, "type": word, "filter": list(conditions), **more}


def condition(word, *parameters):
    return {"type": word, "parameter": list(parameters)}
