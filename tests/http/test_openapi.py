from pathlib import Path

import msgspec

from twite.formats.native.answers import NativeReceipt
from twite.formats.parsed_request import Many, Native, NativeContent
from twite.formats.x_api.read import XContent, XConversion, XIdentifier, XRequest
from twite.http.openapi.schemas import BODIES
from twite.http.route_table import document, rendered

DOCUMENT = Path(__file__).parents[2] / "docs/reference/openapi.json"


def test_the_document_in_the_docs_is_the_one_that_is_served():
    assert DOCUMENT.read_bytes() == rendered(), (
        "run: python -m twite.http > docs/reference/openapi.json"
    )


async def test_the_document_is_served(stage):
    answer = await stage.ask("GET", "/v1/openapi.json", key=None)

    assert (answer.status, answer.body) == (200, rendered())


def test_every_body_names_the_fields_that_are_read():
    shapes = (Native, NativeContent, Many, XRequest, XConversion, XIdentifier, XContent)

    assert {name: set(body["properties"]) for name, body in BODIES.items()} == {
        shape.__name__: {field.encode_name for field in msgspec.structs.fields(shape)}
        for shape in shapes
    }


def test_every_reference_leads_somewhere():
    text = rendered().decode()
    names = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}

    assert names <= set(document()["components"]["schemas"])


def test_the_names_of_components_do_not_follow_those_of_classes():
    before, name = document(), NativeReceipt.__name__
    NativeReceipt.__name__ = "AnotherName"
    try:
        assert document() == before
    finally:
        NativeReceipt.__name__ = name
