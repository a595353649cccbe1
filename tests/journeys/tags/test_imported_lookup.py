"""An imported Firestore Lookup in a gateway, with a local fake of Google."""

import json
from pathlib import Path

import pytest
from gateway_processes import Gateway, command
from vendor import Vendor

from google_double import GoogleDouble, key_file, named

pytestmark = pytest.mark.journey

CRM = Path(__file__).parents[2] / "tags/templates/crm_post.tpl"
VIEW = (
    "/g/collect?v=2&tid=G-1&cid={visitor}&api_secret=journey-key-journey-key-journey&en=page_view"
)


def text(key: str, value: str) -> dict[str, str]:
    return {"type": "TEMPLATE", "key": key, "value": value}


BY_QUERY = [
    text("operation", "query"),
    text("collectionPath", "visitors"),
    {
        "type": "LIST",
        "key": "queriesSimpleTable",
        "list": [
            {
                "type": "MAP",
                "map": [
                    text("queryKey", "id"),
                    text("queryOperator", "=="),
                    text("queryValue", "{{Client}}"),
                ],
            }
        ],
    },
    text("keyPath", "plan.name"),
    {"type": "BOOLEAN", "key": "setDefaultValue", "value": "true"},
    text("defaultValue", "none"),
]


def with_lookup(folder: Path, x: str, vendor: Vendor, google: GoogleDouble) -> Gateway:
    """Return a gateway with an imported container, whose tag posts the variable `Plan`."""
    version = {
        "containerId": "1",
        "container": {"publicId": "GTM-T", "usageContext": ["SERVER"]},
        "customTemplate": [{"templateId": "1", "name": "CRM", "templateData": CRM.read_text()}],
        "variable": [
            {
                "variableId": "1",
                "name": "Client",
                "type": "ed",
                "parameter": [text("keyPath", "client_id")],
            },
            {"variableId": "2", "name": "Plan", "type": "fs", "parameter": BY_QUERY},
        ],
        "tag": [
            {
                "tagId": "3",
                "name": "crm",
                "type": "cvt_1_1",
                "parameter": [text("endpoint", "https://crm.example/in"), text("note", "{{Plan}}")],
                "firingTriggerId": ["2147479574"],
            }
        ],
    }
    export = folder / "export.json"
    export.write_text(json.dumps({"exportFormatVersion": 2, "containerVersion": version}))
    (folder / "key.json").write_text(key_file())
    gateway = Gateway(folder, x)
    command(gateway, "import", str(export), "--out", str(folder), "--secrets", "env")
    with gateway.config.open("a") as config:
        config.write(
            f'[google]\ncredentials = "file:key.json"\napi_url = "{google.url}"\n'
            '[container]\nfile = "container.toml"\n'
            f'redirect = {{ "*" = "{vendor.url.removesuffix("/in")}" }}\n'
        )
    return gateway


@pytest.mark.parametrize(("visitor", "plan"), [("1.2", "gold"), ("1.3", "none")])
def test_tag_gets_the_value_that_firestore_lookup_returns(tmp_path, x_emulator, visitor, plan):
    document = {
        "id": {"stringValue": "1.2"},
        "plan": {"mapValue": {"fields": {"name": {"stringValue": "gold"}}}},
    }
    with GoogleDouble() as google, Vendor() as vendor:
        google.put(named("visitors/a"), document)
        with with_lookup(tmp_path, x_emulator.url, vendor, google) as gateway:
            gateway.post({}, VIEW.format(visitor=visitor))
            gateway.drained()

    assert [came["note"] for came in vendor.came] == [plan]
